//! A data set that lies on the device, and what of it an epoch goes through: in order, distorted if it is to be, with
//! its dropout masks. So a step carries nothing to the device, and waits for nothing.
//!
//! In come a data set once and an order for each epoch, out go the inputs of steps. Knows no network.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use super::masks;
use crate::train::Epoch;
use crate::train::augment::BatchAugmenter;
use crate::train::dataset::{Dataset, PICTURE};

/// Steps whose losses are kept until somebody asks.
const LOSSES: usize = 64;
/// Pictures distorted at a time.
const DISTORTED: usize = 2000;

/// A data set on a device.
pub struct Kept {
    /// Bytes, n × 784.
    pictures: Tensor,
    /// Bytes, n.
    labels: Tensor,
    augmenter: Option<BatchAugmenter>,
}

/// What an epoch goes through, in its order, on the device.
pub struct Prepared {
    pictures: Tensor,
    labels: Tensor,
    dropped: Tensor,
    batch_size: usize,
    losses: Tensor,
    noted: usize,
}

impl Kept {
    /// Puts a data set there. With a seed, each epoch has it distorted anew.
    pub fn new(dataset: &Dataset, augment: Option<u64>, device: &Device) -> Result<Self> {
        let count = dataset.len();
        Ok(Self {
            pictures: Tensor::from_slice(dataset.images(), (count, PICTURE), device)?,
            labels: Tensor::from_slice(dataset.labels(), count, device)?,
            augmenter: augment
                .map(|seed| BatchAugmenter::new(seed, device))
                .transpose()?,
        })
    }

    /// Readies an epoch, whose dropout masks are given.
    pub fn prepare(&self, epoch: &Epoch<'_>, dropped: Vec<u8>) -> Result<Prepared> {
        let device = self.pictures.device();
        let order: Vec<u32> = epoch.order.iter().map(|place| *place as u32).collect();
        let order = Tensor::new(order, device)?;
        let pictures = self.pictures.index_select(&order, 0)?;
        if let Some(augmenter) = self.augmenter.as_ref().filter(|_| epoch.is_distorted) {
            for (number, indices) in epoch.order.chunks(DISTORTED).enumerate() {
                let start = number * DISTORTED;
                let plain = pictures.narrow(0, start, indices.len())?;
                let distorted = augmenter.distorted(&plain, epoch.number, indices)?;
                pictures.slice_set(&distorted, 0, start)?;
            }
        }
        let count = epoch.order.len();
        Ok(Prepared {
            pictures: pictures.reshape((count, 1, 28, 28))?,
            labels: self.labels.index_select(&order, 0)?,
            dropped: Tensor::from_vec(dropped, (count, masks::PACKED), device)?,
            batch_size: epoch.batch_size,
            losses: Tensor::zeros(LOSSES, DType::F32, device)?,
            noted: 0,
        })
    }
}

impl Prepared {
    /// Which places of the order a batch has, counted from 0.
    pub fn range(&self, batch: usize) -> Range<usize> {
        let start = batch * self.batch_size;
        start..(start + self.batch_size).min(self.labels.elem_count())
    }

    /// Copies a batch to where a step takes it from: pictures, labels and masks.
    pub fn fill(&self, range: Range<usize>, inputs: [&Tensor; 3]) -> Result<()> {
        for (from, to) in [&self.pictures, &self.labels, &self.dropped]
            .into_iter()
            .zip(inputs)
        {
            to.slice_set(&from.narrow(0, range.start, range.len())?, 0, 0)?;
        }
        Ok(())
    }

    /// Keeps the loss of a step until it is asked for.
    pub fn note(&mut self, loss: &Tensor) -> Result<()> {
        if self.noted == LOSSES {
            candle_core::bail!("nobody has asked for the losses of {LOSSES} steps");
        }
        self.losses.slice_set(loss, 0, self.noted)?;
        self.noted += 1;
        Ok(())
    }

    /// The losses since this was last asked; waits for their steps.
    pub fn losses(&mut self) -> Result<Vec<f32>> {
        let losses = self.losses.narrow(0, 0, self.noted)?.to_vec1()?;
        self.noted = 0;
        Ok(losses)
    }
}
