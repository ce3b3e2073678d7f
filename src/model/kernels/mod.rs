//! MNISTNet on the CPU, several times as fast as a general convolution: Winograd transforms and small matrix
//! products in plain array loops, compiled for AVX-512, AVX2 and the baseline.
//!
//! ```text
//! pixels ─► convolution ─► features ─► dense ─► log-probabilities     one kernel after the other
//!           winograd, product          product
//! ```
//!
//! [`CpuNet`] offers it as a [`Model`](super::Model). `forward` deals the work out to the threads of `cores`;
//! `convolution` and `dense` are its kernels, made of `winograd`, `product` and `lanes`; `layout` has the
//! parameters as they want them, and `dispatch` alone knows of instruction sets.
#![allow(clippy::needless_range_loop)] // Indices, not iterators, are what LLVM vectorizes: see `dispatch`.

pub(crate) mod convolution;
pub(crate) mod cores;
pub(crate) mod dense;
pub(crate) mod dispatch;
pub(crate) mod forward;
pub(crate) mod lanes;
pub(crate) mod layout;
mod net;
pub(crate) mod product;
pub(crate) mod winograd;

pub use dispatch::Level;
pub use net::CpuNet;
