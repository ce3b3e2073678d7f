//! A GPU's lane: work recorded as a graph and started by one call, and transfers on a stream of their own.
//!
//! All of it on the thread that has opened the device: candle computes on that thread's own stream. Only in builds with
//! CUDA.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaGraph, CudaStream, DriverError};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, Error, InplaceOp1, Layout, Result, Storage, Tensor};

use super::Memory;
use super::lane::{Lane, Work};

/// One batch is computed while the next one comes.
const DEPTH: usize = 2;

/// A way to a GPU and back.
pub struct CudaLane {
    device: CudaDevice,
    compute: Arc<CudaStream>,
    /// Where transfers go once they may overlap with work.
    transfers: Option<Transfers>,
}

struct Transfers {
    stream: Arc<CudaStream>,
    /// For each place, recorded behind its work.
    ended: [CudaEvent; DEPTH],
}

impl CudaLane {
    /// The way to this device.
    pub fn new(device: &CudaDevice) -> Self {
        Self {
            device: device.clone(),
            compute: device.cuda_stream(),
            transfers: None,
        }
    }

    fn transfers(&self) -> &Arc<CudaStream> {
        self.transfers
            .as_ref()
            .map_or(&self.compute, |transfers| &transfers.stream)
    }

    /// What the work does, as a graph: one call instead of some twenty-five, and its memory is the graph's.
    fn capture(&self, work: &Work) -> Result<CudaGraph> {
        // Only this thread's calls are recorded, and only they must not wait for the device meanwhile.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.compute.begin_capture(mode).map_err(failed)?;
        let worked = work();
        // The stream must come out of it whatever has happened.
        let graph = self.compute.end_capture(CUgraphInstantiate_flags(0));
        worked?;
        let Some(graph) = graph.map_err(failed)? else {
            candle_core::bail!("nothing was recorded");
        };
        graph.launch().map_err(failed)?;
        self.compute.synchronize().map_err(failed)?;
        Ok(graph)
    }
}

fn failed(error: DriverError) -> Error {
    Error::wrap(error)
}

impl Lane for CudaLane {
    fn depth(&self) -> usize {
        DEPTH
    }

    /// The memory is pageable, so the driver stages it, and has read all of it when this returns. That holds up this
    /// thread, and not the work of the batch before.
    fn upload(&self, input: &Tensor, pixels: &[u8]) -> Result<()> {
        let stream = self.transfers();
        input.inplace_op1(&Upload { pixels, stream })?;
        match &self.transfers {
            Some(transfers) => transfers.stream.synchronize().map_err(failed),
            None => Ok(()),
        }
    }

    fn record(&self, work: &Work) -> Result<Option<Work>> {
        // candle uploads the shapes that its kernels are given with each call, unless it has kept them.
        let _kept = self.device.enable_cuda_graph_htod_cache();
        // Loads the kernels, which can't be done while a graph is recorded, and fills what is kept.
        work()?;
        self.compute.synchronize().map_err(failed)?;
        match self.capture(work) {
            Ok(graph) => Ok(Some(Box::new(move || graph.launch().map_err(failed)))),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the GPU's work can't be recorded: it is started call by call"
                );
                Ok(None)
            }
        }
    }

    fn start(&self, place: usize, work: &Work) -> Result<()> {
        work()?;
        match &self.transfers {
            Some(transfers) => transfers.ended[place].record(&self.compute).map_err(failed),
            None => Ok(()),
        }
    }

    /// The one call that waits for the device.
    fn fetch(&self, place: usize, answers: &Tensor, count: usize) -> Result<Vec<f32>> {
        let stream = self.transfers();
        if let Some(transfers) = &self.transfers {
            stream.wait(&transfers.ended[place]).map_err(failed)?;
        }
        let (storage, layout) = answers.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            candle_core::bail!("the answers are not on the GPU");
        };
        let start = layout.start_offset();
        let mut numbers = vec![0.0; count];
        let on_device = storage.as_cuda_slice::<f32>()?.slice(start..start + count);
        stream.memcpy_dtoh(&on_device, &mut numbers).map_err(failed)?;
        stream.synchronize().map_err(failed)?;
        Ok(numbers)
    }

    /// Not before all is recorded: with a second stream the driver's wrapper marks every use of a tensor by an event,
    /// and a graph can't wait for what was marked outside of it.
    fn overlap(&mut self) -> Result<()> {
        let context = self.compute.context();
        let event = || context.new_event(None).map_err(failed);
        let ended = [event()?, event()?];
        let stream = context.new_stream().map_err(failed)?;
        self.transfers = Some(Transfers { stream, ended });
        Ok(())
    }

    fn memory(&self) -> Option<Memory> {
        let (free, total) = self.compute.context().mem_get_info().ok()?;
        Some(Memory {
            used: (total - free) as u64,
            total: total as u64,
        })
    }
}

/// Writes bytes into a tensor of the GPU.
struct Upload<'a> {
    pixels: &'a [u8],
    stream: &'a Arc<CudaStream>,
}

impl InplaceOp1 for Upload<'_> {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn cpu_fwd(&self, _storage: &mut CpuStorage, _layout: &Layout) -> Result<()> {
        candle_core::bail!("this lane leads to a GPU")
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        let start = layout.start_offset();
        let bytes = storage.as_cuda_slice_mut::<u8>()?;
        let mut place = bytes.slice_mut(start..start + self.pixels.len());
        self.stream.memcpy_htod(self.pixels, &mut place).map_err(failed)
    }
}
