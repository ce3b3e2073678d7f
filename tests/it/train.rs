//! Training as a person runs it: the files it takes, the weights it leaves, the state it goes on from.

mod dataset;
mod download;
mod events;
mod kept;
mod looked_at;
mod patience;
mod report;
mod runs;

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::data::committed;
use crate::harness::mnistq::Home;

/// The first 640 training pictures of MNIST, and every tenth of its test pictures, which no training sees.
const FILES: [(&str, &str); 4] = [
    ("golden/train640-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
    ("golden/train640-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte"),
    ("held_back/t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"),
    ("held_back/t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"),
];

/// Writes a small MNIST into the folder `mnist` of a home.
pub fn small_mnist(home: &Home) -> PathBuf {
    for (from, to) in FILES {
        home.write(&format!("mnist/{to}.gz"), std::fs::read(committed(from)).unwrap());
    }
    home.path().join("mnist")
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
