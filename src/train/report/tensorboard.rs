//! The figures of a run as TensorBoard reads them: a file of events, each a few fields of a protocol buffer.
//!
//! In come figures, out goes a file that grows with the run. What is written of `tensorflow/core/util/event.proto`
//! and `summary.proto` is here by hand: five fields need no compiler.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::metrics::Record;
use super::tfrecord::framed;
use super::{ReportError, unwritable};
use crate::model::weights::replace;

/// How the names of event files begin: what TensorBoard looks for.
const START: &str = "events.out.tfevents.";
/// How ours end, where others have the machine's name.
const END: &str = ".mnistq";
/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";

/// Types of fields on the wire: <https://protobuf.dev/programming-guides/encoding/>.
const VARINT: u64 = 0;
/// See [`VARINT`].
const EIGHT_BYTES: u64 = 1;
/// See [`VARINT`].
const BYTES: u64 = 2;
/// See [`VARINT`].
const FOUR_BYTES: u64 = 5;

/// An event file: what is in it stays as it is, for TensorBoard goes on where it has read to.
pub(super) struct Events {
    file: File,
    path: PathBuf,
    /// How many records are in it.
    written: usize,
}

impl Events {
    /// A file with these figures in this folder, in the place of those that earlier runs left there.
    pub(super) fn create(folder: &Path, records: &[Record]) -> Result<Self, ReportError> {
        let began = records.first().map_or(0.0, |record| record.time);
        let path = folder.join(format!("{START}{:010}{END}", began as u64));
        let mut content = framed(&version(began));
        content.extend(records.iter().flat_map(|record| framed(&event(record))));
        replace(&path, &content).map_err(unwritable(&path))?;
        remove_others(folder, &path).map_err(unwritable(folder))?;
        let file = File::options().append(true).open(&path);
        Ok(Self {
            file: file.map_err(unwritable(&path))?,
            path,
            written: records.len(),
        })
    }

    /// Writes those of a run's figures that are not yet in it.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), ReportError> {
        let new = &records[self.written..];
        let content: Vec<u8> = new.iter().flat_map(|record| framed(&event(record))).collect();
        self.file.write_all(&content).map_err(unwritable(&self.path))?;
        self.written = records.len();
        Ok(())
    }
}

fn remove_others(folder: &Path, ours: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(START) && name.ends_with(END) && entry.path() != ours {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// `Event { wall_time = 1, file_version = 3 }`
fn version(time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    put_double(&mut event, 1, time);
    put_bytes(&mut event, 3, VERSION.as_bytes());
    event
}

/// `Event { wall_time = 1, step = 2, summary = 5 }` and `Summary { value = 1 }`
fn event(record: &Record) -> Vec<u8> {
    let mut event = Vec::new();
    put_double(&mut event, 1, record.time);
    put_number(&mut event, 2, record.step);
    let mut summary = Vec::new();
    for (tag, number) in scalars(record) {
        put_bytes(&mut summary, 1, &value(tag, number));
    }
    put_bytes(&mut event, 5, &summary);
    event
}

/// `Summary.Value { tag = 1, simple_value = 2 }`
fn value(tag: &str, number: f32) -> Vec<u8> {
    let mut value = Vec::new();
    put_bytes(&mut value, 1, tag.as_bytes());
    put_key(&mut value, 2, FOUR_BYTES);
    value.extend(number.to_le_bytes());
    value
}

/// What is drawn: of a step its loss, of an epoch the rest.
fn scalars(record: &Record) -> Vec<(&'static str, f32)> {
    let scalars = match record.test_accuracy {
        None => [
            ("loss/batch", record.loss),
            ("learning_rate", Some(record.learning_rate)),
        ]
        .to_vec(),
        Some(accuracy) => [
            ("loss/train", record.loss),
            ("loss/test", record.test_loss.map(|loss| loss as f32)),
            ("accuracy/test", Some(accuracy as f32)),
            ("images_per_second", Some(record.images_per_second as f32)),
        ]
        .to_vec(),
    };
    let known = scalars.into_iter();
    known.filter_map(|(tag, number)| Some((tag, number?))).collect()
}

fn put_key(message: &mut Vec<u8>, field: u64, wire_type: u64) {
    put_varint(message, field << 3 | wire_type);
}

fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

fn put_number(message: &mut Vec<u8>, field: u64, number: u64) {
    put_key(message, field, VARINT);
    put_varint(message, number);
}

fn put_double(message: &mut Vec<u8>, field: u64, number: f64) {
    put_key(message, field, EIGHT_BYTES);
    message.extend(number.to_le_bytes());
}

fn put_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(message, field, BYTES);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}
