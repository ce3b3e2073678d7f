//! What is done with bytes of unknown origin: one function for each door through which they come.
//!
//! Each takes any bytes, and panics if a promise is broken. The fuzz targets beside this file call them with bytes that
//! libFuzzer makes up, and `tests/it/fuzz.rs` calls them with the bytes that are kept in `corpus/`. Knows of neither.

use std::io::{Cursor, Write};
use std::path::Path;

use mnistq::address::Address;
use mnistq::config::Config;
use mnistq::digit::{DigitReader, Preprocess, Reader, Settings};
use mnistq::http::{Offer, pictures_in};
use mnistq::job::{Job, Outcome};
use mnistq::model::weights::Weights;
use mnistq::train::dataset::{IMAGES_MAGIC, LABELS_MAGIC, PICTURE, payload};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A body.
pub type Body = fn(&[u8]);

/// All of them, by the names of their targets.
#[allow(dead_code)]
pub const BODIES: [(&str, Body); 8] = [
    ("config", config),
    ("digit", digit),
    ("idx", idx),
    ("infer", infer),
    ("job", job),
    ("outcome", outcome),
    ("pickle", pickle),
    ("weights", weights),
];

/// An upload is a picture as a model takes it, or is refused.
#[allow(dead_code)]
pub fn digit(upload: &[u8]) {
    let reader = DigitReader::new(&Settings {
        preprocess: Preprocess::Auto,
        // Larger ones take longer, and do the same.
        max_megapixels: 1,
    });
    if let Ok(picture) = reader.read(upload) {
        assert_eq!((picture.width(), picture.height()), (28, 28));
        assert_eq!(picture.pixels().len(), 28 * 28);
    }
}

/// A job that can be read says the same when it is written and read again.
#[allow(dead_code)]
pub fn job(wire: &[u8]) {
    // Nobody hits upon a checksum by chance.
    let checksum = crc32fast::hash(wire).to_le_bytes();
    for wire in [wire, &[wire, &checksum].concat()] {
        if let Ok(job) = Job::decode(wire) {
            assert_eq!(Job::decode(&job.encode()), Ok(job));
        }
    }
}

/// An outcome that can be read says the same when it is written and read again.
#[allow(dead_code)]
pub fn outcome(stored: &[u8]) {
    if let Ok(outcome) = Outcome::decode(stored) {
        let again = Outcome::decode(&outcome.encode()).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{outcome:?}"));
    }
}

/// A weight file of either kind is read or refused.
#[allow(dead_code)]
pub fn weights(file: &[u8]) {
    if let Ok(weights) = Weights::parse(file) {
        assert_eq!(weights.sha256.len(), 64);
    }
}

/// The list of tensors in a file of PyTorch's is read or refused, and nothing in it is run.
#[allow(dead_code)]
pub fn pickle(list: &[u8]) {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("w/data.pkl", list), ("w/data/0", &[0; 64])] {
        archive.start_file(name, stored).expect("memory is enough");
        archive.write_all(content).expect("memory is enough");
    }
    weights(archive.finish().expect("memory is enough").get_ref());
}

/// A file of MNIST's has as many items as it says, or is refused.
#[allow(dead_code)]
pub fn idx(file: &[u8]) {
    if let Ok(images) = payload(file, IMAGES_MAGIC) {
        assert_eq!(images.len() % PICTURE, 0);
    }
    if let Ok(labels) = payload(file, LABELS_MAGIC) {
        assert_eq!(labels.len(), file.len() - 8);
    }
}

/// A configuration file is read, or refused with the line that is wrong; an address never shows its password.
#[allow(dead_code)]
pub fn config(file: &[u8]) {
    let Ok(text) = std::str::from_utf8(file) else {
        return;
    };
    match Config::parse(Path::new("mnistq.toml"), text) {
        Ok(config) => drop(format!("{config:?}")),
        Err(error) => assert!(error.to_string().starts_with("mnistq.toml, line ")),
    }
    if let Ok(address) = text.parse::<Address>() {
        let _ = (address.to_string(), format!("{address:?}"));
    }
}

/// A request of the Open Inference Protocol has pictures, or is refused.
#[allow(dead_code)]
pub fn infer(body: &[u8]) {
    if let Ok(count) = pictures_in(body, &Offer::default()) {
        assert_ne!(count, 0);
    }
}
