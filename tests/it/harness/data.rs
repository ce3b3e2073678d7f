//! What is committed below `tests/data`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// Where a file is.
pub fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The content of a gzipped file.
pub fn unpacked(name: &str) -> Vec<u8> {
    let file = File::open(committed(name)).expect("it is committed");
    let mut content = Vec::new();
    GzDecoder::new(file)
        .read_to_end(&mut content)
        .expect("it is gzipped");
    content
}
