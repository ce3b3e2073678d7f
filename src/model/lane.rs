//! How pictures come to a device, how its work is started, and how answers come back.
//!
//! In come bytes and work as candle's operations, out go numbers. What is here is the CPU's lane; a GPU's is in `cuda`.
//! Knows no network.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, Device, InplaceOp1, Layout, Result, Tensor};

use super::Memory;

/// Operations on tensors that stay where they are: run again, they read and write the same places.
pub type Work = Box<dyn Fn() -> Result<()>>;

/// A way to a device and back, for the thread that has opened it. What is in flight has a place, counted from 0, and
/// the places that it may have are fewer than [`Lane::depth`].
pub trait Lane {
    /// How many batches can be in flight at once.
    fn depth(&self) -> usize;

    /// Puts bytes at the start of a tensor of bytes, which no work that goes on may read.
    ///
    /// # Errors
    /// Of the device.
    fn upload(&self, input: &Tensor, pixels: &[u8]) -> Result<()>;

    /// The same work in fewer calls, if the device can record it. Then it is done before this returns, and not just
    /// once.
    ///
    /// # Errors
    /// Of the work.
    fn record(&self, work: &Work) -> Result<Option<Work>>;

    /// Starts work and returns before it has ended, if the device can.
    ///
    /// # Errors
    /// Of the device.
    fn start(&self, place: usize, work: &Work) -> Result<()>;

    /// The first `count` numbers of a tensor, once the work that was started at this place has ended.
    ///
    /// # Errors
    /// Of the device.
    fn fetch(&self, place: usize, answers: &Tensor, count: usize) -> Result<Vec<f32>>;

    /// To be called when all is recorded: from now on what comes to the device and what it does may overlap.
    ///
    /// # Errors
    /// Of the device.
    fn overlap(&mut self) -> Result<()>;

    /// The device's own memory, if it has some.
    fn memory(&self) -> Option<Memory>;
}

/// The way to this device.
pub fn to(device: &Device) -> Box<dyn Lane> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => Box::new(super::cuda::CudaLane::new(device)),
        _ => Box::new(HostLane),
    }
}

/// The CPU's: nothing is carried, and work has ended when it is started.
struct HostLane;

impl Lane for HostLane {
    fn depth(&self) -> usize {
        1
    }

    fn upload(&self, input: &Tensor, pixels: &[u8]) -> Result<()> {
        input.inplace_op1(&Write(pixels))
    }

    fn record(&self, _work: &Work) -> Result<Option<Work>> {
        Ok(None)
    }

    fn start(&self, _place: usize, work: &Work) -> Result<()> {
        work()
    }

    fn fetch(&self, _place: usize, answers: &Tensor, count: usize) -> Result<Vec<f32>> {
        answers.flatten_all()?.narrow(0, 0, count)?.to_vec1()
    }

    fn overlap(&mut self) -> Result<()> {
        Ok(())
    }

    fn memory(&self) -> Option<Memory> {
        None
    }
}

/// Writes bytes into a tensor.
struct Write<'a>(&'a [u8]);

impl InplaceOp1 for Write<'_> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let start = layout.start_offset();
        match storage {
            CpuStorage::U8(bytes) => bytes[start..start + self.0.len()].copy_from_slice(self.0),
            other => candle_core::bail!("bytes can't be written over {:?}", other.dtype()),
        }
        Ok(())
    }

    fn cuda_fwd(&self, _storage: &mut CudaStorage, _layout: &Layout) -> Result<()> {
        candle_core::bail!("this lane leads to the CPU")
    }
}
