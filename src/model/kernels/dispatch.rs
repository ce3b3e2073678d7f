//! Which instructions a kernel may use: the CPU is asked once, and each kernel is compiled for every answer.
//!
//! A [`Kernel`] is plain Rust over arrays of [`LANES`](super::lanes::LANES) numbers. [`Level::run`] calls it from
//! a function that carries `#[target_feature]`, so LLVM turns the same loops into AVX-512, AVX2 or baseline code
//! (SSE2 on x86-64, NEON on AArch64). Knows no network.
//!
//! Only what is inlined into that function is compiled for its features. All code of a kernel is therefore
//! `#[inline(always)]`, and its inner loops are `for` loops over indices: a closure or an iterator adapter that
//! LLVM leaves as a call falls back to baseline code, which is right and 2 to 20 times slower. So does a number
//! that is read from memory in one arm of an `if` only: read it first, then choose. Tests don't see such a loss,
//! `mnistq bench model` does.
#![allow(unsafe_code)] // The two calls in `Level::run`, which the comment there justifies.

use std::fmt;

/// A piece of arithmetic with its operands, to be run by [`Level::run`].
pub(crate) trait Kernel {
    /// Does the work. Implementations are `#[inline(always)]`.
    fn run<I: Instructions>(self);
}

/// What kernels need to know about the instructions that they are compiled for.
pub(crate) trait Instructions {
    /// Whether a fused multiply-add is one instruction, not a call into a library.
    const FUSED: bool;
    /// Whether 24 vectors of 16 numbers fit into registers, or only 6.
    const WIDE: bool;
}

struct Baseline;
impl Instructions for Baseline {
    const FUSED: bool = cfg!(target_arch = "aarch64");
    const WIDE: bool = false;
}

#[cfg(target_arch = "x86_64")]
struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Instructions for Avx2 {
    const FUSED: bool = true;
    const WIDE: bool = false;
}

#[cfg(target_arch = "x86_64")]
struct Avx512;
#[cfg(target_arch = "x86_64")]
impl Instructions for Avx512 {
    const FUSED: bool = true;
    const WIDE: bool = true;
}

/// A set of instructions that this CPU has: whoever holds a level may run code that is compiled for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The fastest level of this CPU.
    #[must_use]
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// The level of this name, if this CPU has it: `avx512`, `avx2` or `baseline`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::available()
            .into_iter()
            .find(|level| format!("{level:?}").eq_ignore_ascii_case(name))
    }

    /// All levels of this CPU, the fastest first, the baseline last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                levels.push(Self(Set::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self(Set::Avx2));
            }
        }
        levels.push(Self(Set::Baseline));
        levels
    }

    /// Runs a kernel with the instructions of this level.
    pub(crate) fn run(self, kernel: impl Kernel) {
        match self.0 {
            Set::Baseline => kernel.run::<Baseline>(),
            // SAFETY: `available` alone makes levels, and makes these two only when the CPU reports their features.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { run_avx512(kernel) },
        }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2(kernel: impl Kernel) {
    kernel.run::<Avx2>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512(kernel: impl Kernel) {
    kernel.run::<Avx512>();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kernels::lanes::multiply_add;

    struct Polynomial<'a> {
        x: &'a [f32; 32],
        y: &'a mut [f32; 32],
    }

    impl Kernel for Polynomial<'_> {
        #[inline(always)]
        fn run<I: Instructions>(self) {
            for i in 0..32 {
                self.y[i] = multiply_add::<I>(self.x[i], self.x[i], 2.0);
            }
        }
    }

    /// What Miri interprets in `make sanitize`, and so small: the calls that are `unsafe`, with what a kernel borrows.
    #[test]
    fn every_level_runs_a_kernel() {
        let x = std::array::from_fn(|i| i as f32);
        let expected = x.map(|x| x * x + 2.0);
        for level in Level::available() {
            let mut y = [0.0; 32];
            level.run(Polynomial { x: &x, y: &mut y });
            assert_eq!(y, expected, "{level:?}");
        }
    }
}
