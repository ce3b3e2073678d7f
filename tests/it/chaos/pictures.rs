//! The pictures that are uploaded, and what the shipped weights make of each when they are asked directly.

use std::io::Cursor;

use image::{GrayImage, ImageFormat};
use mnistq::digit::{DigitReader, Reader};
use mnistq::model::Place;
use mnistq::model::device::DeviceName;
use mnistq::model::{self, weights::Weights};

use crate::harness::client::{PICTURES, picture};
use crate::harness::data::unpacked;

/// How many of the data set's pictures are taken.
const DIGITS: usize = 60;
const SIDE: u32 = 28;
/// What stands before the pictures in an IDX file.
const HEADER: usize = 16;

/// A picture as it is uploaded, and its class.
#[derive(Clone)]
pub struct Asked {
    pub bytes: Vec<u8>,
    pub class: u64,
}

/// All pictures.
pub fn all() -> Vec<Asked> {
    let digits = unpacked("held_back/t10k-images-idx3-ubyte.gz");
    let digits = digits[HEADER..]
        .chunks((SIDE * SIDE) as usize)
        .take(DIGITS)
        .map(|pixels| {
            let image = GrayImage::from_raw(SIDE, SIDE, pixels.to_vec()).expect("28×28 bytes");
            let mut png = Cursor::new(Vec::new());
            image
                .write_to(&mut png, ImageFormat::Png)
                .expect("a PNG in memory");
            png.into_inner()
        });
    let story = PICTURES.iter().map(|(name, _)| picture(name));
    let reader = DigitReader::new(&Default::default());
    let weights = Weights::embedded().expect("the shipped weights");
    let mut model = model::open(&weights, Place::new(DeviceName::Cpu, 1)).expect("a model on this CPU");
    let asked = digits.chain(story).map(|bytes| {
        let picture = reader.read(&bytes).expect("a digit");
        let answer = model.predict(picture.pixels()).expect("an answer");
        let class = (0..answer.len()).max_by(|a, b| answer[*a].total_cmp(&answer[*b]));
        Asked {
            bytes,
            class: class.expect("ten classes") as u64,
        }
    });
    asked.collect()
}
