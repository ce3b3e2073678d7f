//! MNISTNet on a device of candle's, behind the seam [`Model`]: batches padded to a few sizes, each size readied before
//! the first job comes.
//!
//! Bytes in, log-probabilities out; what the device does with them is the business of `net`, and how they come there of
//! `lane`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};

use super::lane::{self, Lane, Work};
use super::net::Layers;
use super::parameters::Parameters;
use super::precision::Precision;
use super::{Memory, Model, ModelCard, ModelError, Pass, buckets};

/// Bytes of a picture.
const PICTURE: usize = 28 * 28;
/// How far the same work may be off when it is recorded, in parts of an answer and one.
const SAME: f32 = 1e-3;
/// Most pictures at once without a size that was readied for them: candle's convolutions take 1.3 MB for each.
const UNREADIED: usize = 256;

/// MNISTNet on a device of candle's.
pub struct CandleNet {
    card: ModelCard,
    layers: Rc<Layers>,
    device: Device,
    lane: Box<dyn Lane>,
    /// For each size, the smallest first, as many places as batches can be in flight.
    readied: Vec<Vec<Place>>,
    /// The places where nothing is in flight.
    free: Vec<usize>,
}

/// Where a batch of a certain size is put, and its answers are found.
struct Place {
    size: usize,
    input: Tensor,
    answers: Tensor,
    forward: Work,
}

impl Place {
    fn new(size: usize, input: Tensor, answers: Tensor, forward: Work) -> Self {
        Self {
            size,
            input,
            answers,
            forward,
        }
    }
}

impl CandleNet {
    /// The network on this device, which `name` names. Must be called on the thread that will use it.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    pub fn new(
        parameters: &Parameters,
        weights_sha256: String,
        precision: Precision,
        (name, device): (String, Device),
    ) -> Result<Self, ModelError> {
        let open = || {
            let layers = Rc::new(Layers::new(parameters, precision, &device)?);
            candle_core::Result::Ok((layers, lane::to(&device)))
        };
        let (layers, lane) = open().map_err(|error| broken(&name, error))?;
        let card = ModelCard {
            name: "MNISTNet".to_owned(),
            weights_sha256,
            device: name,
            width: 28,
            height: 28,
            classes: 10,
        };
        Ok(Self {
            card,
            layers,
            device,
            lane,
            readied: Vec::new(),
            free: Vec::new(),
        })
    }

    fn place(&self, size: usize) -> candle_core::Result<Place> {
        let input = Tensor::zeros((size, 1, 28, 28), DType::U8, &self.device)?;
        let answers = Tensor::zeros((size, 10), DType::F32, &self.device)?;
        let (layers, from, to) = (Rc::clone(&self.layers), input.clone(), answers.clone());
        let work: Work = Box::new(move || to.slice_set(&layers.forward(&from)?, 0, 0));
        let Some(recorded) = self.lane.record(&work)? else {
            return Ok(Place::new(size, input, answers, work));
        };
        let place = Place::new(size, input.clone(), answers.clone(), recorded);
        if self.is_right(&place)? {
            return Ok(place);
        }
        tracing::warn!(
            size,
            "what was recorded answers otherwise: work is started call by call"
        );
        Ok(Place::new(size, input, answers, work))
    }

    /// Whether a place answers what the layers do, about any pixels.
    fn is_right(&self, place: &Place) -> candle_core::Result<bool> {
        let pixels: Vec<u8> = (0..place.size * PICTURE)
            .map(|index| (index * 31 % 251) as u8)
            .collect();
        self.start(place, 0, &pixels)?;
        let found = self.lane.fetch(0, &place.answers, place.answers.elem_count())?;
        let expected: Vec<f32> = self.layers.forward(&place.input)?.flatten_all()?.to_vec1()?;
        let close = |(found, expected): (&f32, &f32)| {
            let off = (found - expected).abs() / (1.0 + expected.abs());
            off <= SAME || (found.is_nan() && expected.is_nan())
        };
        Ok(found.iter().zip(&expected).all(close))
    }

    fn ready(&mut self, largest: usize) -> candle_core::Result<()> {
        let depth = self.lane.depth();
        // The largest first: what smaller ones need fits into what it has left.
        for size in buckets::sizes(largest).into_iter().rev() {
            let places = (0..depth).map(|_| self.place(size));
            let places = places.collect::<candle_core::Result<Vec<_>>>()?;
            self.readied.insert(0, places);
        }
        self.free = (0..depth).collect();
        self.lane.overlap()
    }

    /// Which of the readied sizes so many pictures go into.
    fn bucket(&self, pictures: usize) -> Option<usize> {
        self.readied
            .iter()
            .position(|places| places.first().is_some_and(|place| pictures <= place.size))
    }

    fn start(&self, place: &Place, at: usize, pixels: &[u8]) -> candle_core::Result<()> {
        // What an earlier batch has left behind the last picture gets answers that nobody reads.
        self.lane.upload(&place.input, pixels)?;
        self.lane.start(at, &place.forward)
    }

    /// How long the forward pass of so many pictures takes, with all that is readied, if it is done so many times
    /// without anything that comes and goes.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails, or nothing of this size is readied.
    pub fn run_again(&mut self, pictures: usize, times: u32) -> Result<Duration, ModelError> {
        let run = || {
            let Some(place) = self
                .bucket(pictures)
                .and_then(|bucket| self.readied[bucket].first())
            else {
                candle_core::bail!("nothing is readied for {pictures} pictures");
            };
            let started = Instant::now();
            for _ in 0..times {
                self.lane.start(0, &place.forward)?;
            }
            self.lane.fetch(0, &place.answers, 1)?;
            Ok(started.elapsed())
        };
        run().map_err(|error| self.broken(error))
    }

    fn predict_unreadied(&self, pixels: &[u8]) -> candle_core::Result<Vec<f32>> {
        let mut answers = Vec::with_capacity(pixels.len() / PICTURE * 10);
        for pixels in pixels.chunks(UNREADIED * PICTURE) {
            let pictures = Tensor::from_slice(pixels, (pixels.len() / PICTURE, 1, 28, 28), &self.device)?;
            answers.extend(self.layers.forward(&pictures)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(answers)
    }

    fn broken(&self, error: candle_core::Error) -> ModelError {
        broken(&self.card.device, error)
    }
}

fn broken(device: &str, error: candle_core::Error) -> ModelError {
    ModelError::Broken {
        device: device.to_owned(),
        source: error.into(),
    }
}

impl Model for CandleNet {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        let pass = self.begin(pixels)?;
        self.end(pass)
    }

    fn warm_up(&mut self, largest: usize) -> Result<(), ModelError> {
        self.ready(largest).map_err(|error| self.broken(error))
    }

    fn depth(&self) -> usize {
        if self.readied.is_empty() {
            1
        } else {
            self.lane.depth()
        }
    }

    fn begin(&mut self, pixels: &[u8]) -> Result<Pass, ModelError> {
        if pixels.is_empty() {
            return Ok(Pass::Answered(Vec::new()));
        }
        if !pixels.len().is_multiple_of(PICTURE) {
            let detail = format!("{} bytes are no whole number of pictures of 28×28", pixels.len());
            return Err(ModelError::Rejected(detail));
        }
        let pictures = pixels.len() / PICTURE;
        let (Some(bucket), Some(place)) = (self.bucket(pictures), self.free.pop()) else {
            let answers = self.predict_unreadied(pixels);
            return answers.map(Pass::Answered).map_err(|error| self.broken(error));
        };
        match self.start(&self.readied[bucket][place], place, pixels) {
            Ok(()) => Ok(Pass::InFlight {
                bucket,
                place,
                pictures,
            }),
            Err(error) => {
                self.free.push(place);
                Err(self.broken(error))
            }
        }
    }

    fn end(&mut self, pass: Pass) -> Result<Vec<f32>, ModelError> {
        match pass {
            Pass::Answered(answers) => Ok(answers),
            Pass::InFlight {
                bucket,
                place,
                pictures,
            } => {
                let answers = &self.readied[bucket][place].answers;
                let fetched = self.lane.fetch(place, answers, pictures * self.card.classes);
                self.free.push(place);
                fetched.map_err(|error| self.broken(error))
            }
        }
    }

    fn memory(&self) -> Option<Memory> {
        self.lane.memory()
    }
}
