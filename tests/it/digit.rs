//! Any picture that a person sends: what becomes of it, and of what is none.

mod formats;
mod hostile;
mod parity;
mod scenes;

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat};
use mnistq::digit::{DigitReader, Preprocess, ReadError, Reader, Settings};
use mnistq::job::Picture;
use mnistq::model::Model;
use mnistq::model::kernels::CpuNet;
use mnistq::model::weights::Weights;
use mnistq::train::dataset::{Dataset, Split};

use crate::harness::data::committed;

fn read(upload: &[u8]) -> Result<Picture, ReadError> {
    DigitReader::new(&Settings::default()).read(upload)
}

fn read_raw(upload: &[u8]) -> Result<Picture, ReadError> {
    let settings = Settings {
        preprocess: Preprocess::Raw,
        ..Settings::default()
    };
    DigitReader::new(&settings).read(upload)
}

/// What the shipped network takes each of these uploads for; ten for one that can't be read.
fn answers(uploads: &[Vec<u8>]) -> Vec<u8> {
    let mut network = CpuNet::new(&Weights::embedded().unwrap().parameters, String::new(), 2).unwrap();
    let answer = |upload: &Vec<u8>| match read(upload) {
        Ok(picture) => {
            let answer = network.predict(picture.pixels()).unwrap();
            (0..10).max_by(|a, b| answer[*a].total_cmp(&answer[*b])).unwrap() as u8
        }
        Err(_) => 10,
    };
    uploads.iter().map(answer).collect()
}

/// A thousand of MNIST's test pictures.
fn held_back() -> Dataset {
    Dataset::read(&committed("held_back"), Split::Test).unwrap()
}

fn image(digits: &Dataset, number: usize) -> GrayImage {
    GrayImage::from_raw(28, 28, digits.image(number).to_vec()).unwrap()
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
