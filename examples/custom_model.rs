//! Your own network behind the same queue, store, API and command line: other input, other classes.
//!
//! ```text
//! cargo run --release --example custom_model -- serve
//! curl --form file=@examples/pictures/seven-bottom.webp --header 'Prefer: wait=5' http://127.0.0.1:8000/classify
//! ```
//!
//! This one takes pictures of 16×16 pixels and tells which quarter of them holds the most ink. `work --broker … --store …`
//! runs it on other machines; what trains and evaluates is still MNISTNet's.

use std::process::ExitCode;
use std::sync::Arc;

use mnistq::digit::{ReadError, Reader};
use mnistq::http::Offer;
use mnistq::job::Picture;
use mnistq::model::{Model, ModelCard, ModelError};
use mnistq::roles::{self, Service};

const SIDE: u16 = 16;

struct Quarters(ModelCard);

impl Model for Quarters {
    fn card(&self) -> &ModelCard {
        &self.0
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        let side = usize::from(SIDE);
        let predict_one = |picture: &[u8]| {
            let mut ink = [1.0_f32; 4];
            for (index, pixel) in picture.iter().enumerate() {
                ink[index / side / (side / 2) * 2 + index % side / (side / 2)] += f32::from(*pixel);
            }
            let total: f32 = ink.iter().sum();
            ink.map(|share| (share / total).ln())
        };
        Ok(pixels.chunks(side * side).flat_map(predict_one).collect())
    }
}

struct Thumbnail;

impl Reader for Thumbnail {
    fn read(&self, upload: &[u8]) -> Result<Picture, ReadError> {
        let image = image::load_from_memory(upload).map_err(|_| ReadError::Unsupported)?;
        let small = image.resize_exact(SIDE.into(), SIDE.into(), image::imageops::FilterType::Triangle);
        Picture::new(SIDE, SIDE, small.into_luma8().into_raw()).ok_or(ReadError::Unsupported)
    }
}

fn card() -> ModelCard {
    ModelCard {
        name: "quarters".to_owned(),
        weights_sha256: String::new(),
        device: "cpu".to_owned(),
        width: SIDE,
        height: SIDE,
        classes: 4,
    }
}

/// The network and its pictures, as a service.
pub fn quarters() -> Service {
    Service {
        offer: Offer {
            name: "quarters".to_owned(),
            width: SIDE,
            height: SIDE,
            classes: 4,
        },
        reader: |_| Arc::new(Thumbnail),
        model: |_| Ok(Box::new(|| Ok(Box::new(Quarters(card()))))),
        known: Vec::new,
    }
}

fn main() -> ExitCode {
    roles::start(&quarters())
}
