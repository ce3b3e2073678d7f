//! What a device can do at most, by trying: how many operations a second in a large product of matrices, how many bytes
//! a second towards it.

use std::fmt;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};

use super::{ModelError, Place};

/// Rows and columns of the matrices on a GPU, and on a CPU.
const SIDES: [usize; 2] = [8192, 512];
/// Bytes of a transfer to a GPU, and to a CPU.
const BYTES: [usize; 2] = [256 << 20, 16 << 20];
/// How often each is tried; the best counts.
const TRIES: usize = 5;

/// What was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Of which device.
    pub device: String,
    /// Additions and multiplications of 32-bit numbers a second.
    pub operations: f64,
    /// Bytes a second from this machine's memory to the device's.
    pub uploaded_bytes: f64,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tera, giga) = (self.operations / 1e12, self.uploaded_bytes / 1e9);
        write!(
            f,
            "{tera:.2} TFLOP/s in a product of matrices, {giga:.1} GB/s towards it"
        )
    }
}

/// Tries what a place can do.
///
/// # Errors
/// [`ModelError::Missing`] if there is no such device, [`ModelError::Broken`] if it fails.
pub fn measure(place: Place) -> std::result::Result<Limits, ModelError> {
    let (name, device) = place.device.open()?.on_candle();
    let at = usize::from(device.is_cpu());
    let tried = product(&device, SIDES[at]).and_then(|seconds| Ok((seconds, transfer(&device, BYTES[at])?)));
    match tried {
        Ok((product, transfer)) => Ok(Limits {
            device: name,
            operations: 2.0 * (SIDES[at] as f64).powi(3) / product,
            uploaded_bytes: BYTES[at] as f64 / transfer,
        }),
        Err(error) => Err(ModelError::Broken {
            device: name,
            source: error.into(),
        }),
    }
}

fn product(device: &Device, side: usize) -> Result<f64> {
    let matrix = Tensor::ones((side, side), DType::F32, device)?;
    fastest(device, || matrix.matmul(&matrix).map(drop))
}

fn transfer(device: &Device, bytes: usize) -> Result<f64> {
    let bytes = vec![1_u8; bytes];
    fastest(device, || {
        Tensor::from_slice(&bytes, bytes.len(), device).map(drop)
    })
}

/// Seconds of the fastest try, the first of which does not count.
fn fastest(device: &Device, work: impl Fn() -> Result<()>) -> Result<f64> {
    work()?;
    let mut fastest = f64::INFINITY;
    for _ in 0..TRIES {
        device.synchronize()?;
        let started = Instant::now();
        work()?;
        device.synchronize()?;
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    Ok(fastest)
}
