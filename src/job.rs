//! What crosses the queue and the store: a job on its way to a model, and the outcome on its way back.
//!
//! In come a picture and its id, out goes the answer; both have a versioned wire form, so that old and
//! new executables can share a queue. Knows no transport, no image format and no network.

mod id;
mod outcome;
mod trace;

use std::fmt;
use std::time::{Duration, SystemTime};

pub use id::{InvalidJobId, JobId};
pub use outcome::{Failure, FailureCode, ModelName, Outcome, OutcomeError, Prediction, Timings};
pub use trace::{InvalidTraceParent, TraceParent};

/// A grey picture, row by row: 0 is background, 255 is ink, as MNIST has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u16,
    height: u16,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture of `width` × `height` bytes, or none if `pixels` has another length.
    #[must_use]
    pub fn new(width: u16, height: u16, pixels: Vec<u8>) -> Option<Self> {
        (pixels.len() == usize::from(width) * usize::from(height)).then_some(Self {
            width,
            height,
            pixels,
        })
    }

    /// Pixels a row.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u16 {
        self.height
    }

    /// `width * height` bytes, row by row from the top.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}×{})", self.width, self.height)
    }
}

/// One picture on its way to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The id under which the outcome will be stored.
    pub id: JobId,
    /// What is asked.
    pub picture: Picture,
    /// How long the outcome is kept once it is stored.
    pub result_ttl: Duration,
    /// When the front end took the upload, by its clock. Reported in timings, never decided upon.
    pub accepted_at: SystemTime,
    /// How long the upload took from there until it was a picture; zero if a version 1 wrote the job.
    pub reading: Duration,
    /// Where in a trace it was published, if that is recorded. Not in the wire form: brokers carry it beside the job.
    pub trace: Option<TraceParent>,
}

/// Why bytes from a queue are no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes do not start with our mark.
    #[error("not a job of mnistq")]
    Foreign,
    /// A newer executable wrote this.
    #[error(
        "the job has wire version {0}, and this executable reads versions 1 to {VERSION}: update the workers first"
    )]
    Version(u8),
    /// Cut short, or longer than its header says.
    #[error("the job is {found} bytes long instead of {expected}")]
    Length {
        /// Length by the header.
        expected: usize,
        /// Length as it came.
        found: usize,
    },
    /// Length and mark are right, but the bytes were changed.
    #[error("the job is damaged: its checksum does not match")]
    Checksum,
}

/// `b"MNQ"`, the version, then little-endian: id (16), accepted at in Unix microseconds (8), result time
/// to live in milliseconds (8), from version 2 on the reading in microseconds (4), width (2), height (2), pixels,
/// CRC-32 of all before it (4).
const MARK: &[u8; 3] = b"MNQ";
const VERSION: u8 = 2;
const HEADER: usize = 44;
const HEADER_OF_VERSION_1: usize = 40;
const TRAILER: usize = 4;

impl Job {
    /// The wire form, readable by [`Job::decode`] of this version and the next.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let accepted = self
            .accepted_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut wire = Vec::with_capacity(HEADER + self.picture.pixels.len() + TRAILER);
        wire.extend_from_slice(MARK);
        wire.push(VERSION);
        wire.extend_from_slice(self.id.as_bytes());
        wire.extend_from_slice(&saturated(accepted.as_micros()).to_le_bytes());
        wire.extend_from_slice(&saturated(self.result_ttl.as_millis()).to_le_bytes());
        let reading = u32::try_from(self.reading.as_micros()).unwrap_or(u32::MAX);
        wire.extend_from_slice(&reading.to_le_bytes());
        wire.extend_from_slice(&self.picture.width.to_le_bytes());
        wire.extend_from_slice(&self.picture.height.to_le_bytes());
        wire.extend_from_slice(&self.picture.pixels);
        let checksum = crc32fast::hash(&wire);
        wire.extend_from_slice(&checksum.to_le_bytes());
        wire
    }

    /// Reads a wire form; never panics, and takes nothing that is not exactly one whole job.
    ///
    /// # Errors
    /// [`WireError`] says what is wrong with the bytes.
    pub fn decode(wire: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader {
            rest: wire,
            total: wire.len(),
        };
        if reader.take::<3>().ok().as_ref() != Some(MARK) {
            return Err(WireError::Foreign);
        }
        let [version] = reader.take()?;
        if !(1..=VERSION).contains(&version) {
            return Err(WireError::Version(version));
        }
        let id = JobId::from_bytes(&reader.take::<16>()?).ok_or(WireError::Foreign)?;
        let accepted = Duration::from_micros(u64::from_le_bytes(reader.take()?));
        let result_ttl = Duration::from_millis(u64::from_le_bytes(reader.take()?));
        let (header, reading) = match version {
            1 => (HEADER_OF_VERSION_1, 0),
            _ => (HEADER, u32::from_le_bytes(reader.take()?)),
        };
        let width = u16::from_le_bytes(reader.take()?);
        let height = u16::from_le_bytes(reader.take()?);
        let pixels = usize::from(width) * usize::from(height);
        let expected = header + pixels + TRAILER;
        if wire.len() != expected {
            return Err(WireError::Length {
                expected,
                found: wire.len(),
            });
        }
        let (body, checksum) = wire.split_at(expected - TRAILER);
        if crc32fast::hash(body).to_le_bytes() != checksum {
            return Err(WireError::Checksum);
        }
        let picture = Picture {
            width,
            height,
            pixels: body[header..].to_vec(),
        };
        let accepted_at = SystemTime::UNIX_EPOCH
            .checked_add(accepted)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self {
            id,
            picture,
            result_ttl,
            accepted_at,
            reading: Duration::from_micros(reading.into()),
            trace: None,
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(WireError::Length {
            expected: HEADER + TRAILER,
            found: self.total,
        })?;
        self.rest = rest;
        Ok(*first)
    }
}

fn saturated(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
