//! What crosses the queue and the store: a job on its way to a model, and the outcome on its way back.
//!
//! In come a picture and its id, out goes the answer; both have a versioned wire form, so that old and
//! new executables can share a queue. Knows no transport, no image format and no network.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// The id that a client is given: a UUIDv7 with 74 random bits.
///
/// Its time tells a result that has expired from an id that was never issued, with nothing stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A fresh id, issued now.
    #[must_use]
    pub fn issue() -> Self {
        // Without a counter context every bit behind the time is random, so that ids can't be guessed.
        Self(Uuid::new_v7(Timestamp::now(NoContext)))
    }

    /// How long ago this id was issued, by this machine's clock; zero if it lies in the future.
    #[must_use]
    pub fn age(&self) -> Duration {
        let issued = self.0.get_timestamp().map_or(Duration::ZERO, |time| {
            let (seconds, nanoseconds) = time.to_unix();
            Duration::new(seconds, nanoseconds)
        });
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH + issued)
            .unwrap_or_default()
    }

    /// The sixteen bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that has these bytes, or none if they are no UUIDv7.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id = Uuid::from_slice(bytes).ok()?;
        (id.get_version_num() == 7).then_some(Self(id))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an inference id: expected a UUID of version 7")]
pub struct InvalidJobId;

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let id = Uuid::try_parse(text).map_err(|_| InvalidJobId)?;
        if id.get_version_num() == 7 {
            Ok(Self(id))
        } else {
            Err(InvalidJobId)
        }
    }
}

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
}

/// Why bytes from a queue are no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes do not start with our mark.
    #[error("not a job of mnistq")]
    Foreign,
    /// A newer executable wrote this.
    #[error(
        "the job has wire version {0}, and this executable reads version {VERSION}: update the workers first"
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
/// to live in milliseconds (8), width (2), height (2), pixels, CRC-32 of all before it (4).
const MARK: &[u8; 3] = b"MNQ";
const VERSION: u8 = 1;
const HEADER: usize = 40;
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
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let id = JobId::from_bytes(&reader.take::<16>()?).ok_or(WireError::Foreign)?;
        let accepted = Duration::from_micros(u64::from_le_bytes(reader.take()?));
        let result_ttl = Duration::from_millis(u64::from_le_bytes(reader.take()?));
        let width = u16::from_le_bytes(reader.take()?);
        let height = u16::from_le_bytes(reader.take()?);
        let pixels = usize::from(width) * usize::from(height);
        let expected = HEADER + pixels + TRAILER;
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
            pixels: body[HEADER..].to_vec(),
        };
        let accepted_at = SystemTime::UNIX_EPOCH
            .checked_add(accepted)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self {
            id,
            picture,
            result_ttl,
            accepted_at,
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

/// How a job ended. Stored once; the first outcome wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The model answered.
    Succeeded(Prediction),
    /// The job can't be classified; the client reads why.
    Failed {
        /// Why, for a program and for a person.
        error: Failure,
    },
    /// Nobody took the job before its deadline.
    Expired,
    /// The client took it back.
    Cancelled,
}

/// Version of [`Outcome::encode`].
const OUTCOME_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    v: u8,
    #[serde(flatten)]
    outcome: T,
}

/// Why bytes from a store are no outcome.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// A newer executable wrote this.
    #[error("the outcome has version {0}, and this executable reads version {OUTCOME_VERSION}: update it")]
    Version(u8),
    /// Not JSON of ours.
    #[error("the stored outcome can't be read")]
    Unreadable(#[from] serde_json::Error),
}

impl Outcome {
    /// The stored form: a JSON object with its version.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            v: OUTCOME_VERSION,
            outcome: self,
        };
        // Only a map with keys that are no texts, or a failing writer, could fail: here is neither.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads a stored form.
    ///
    /// # Errors
    /// [`OutcomeError`] says why it can't be read.
    pub fn decode(stored: &[u8]) -> Result<Self, OutcomeError> {
        #[derive(Deserialize)]
        struct Version {
            v: u8,
        }
        let Version { v } = serde_json::from_slice(stored)?;
        if v != OUTCOME_VERSION {
            return Err(OutcomeError::Version(v));
        }
        Ok(serde_json::from_slice::<Stored<Self>>(stored)?.outcome)
    }
}

/// A model's answer to one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The most likely class, counted from 0.
    pub predicted_class: u16,
    /// One probability a class; they sum to 1.
    pub probabilities: Vec<f32>,
    /// Which weights answered.
    pub model: ModelName,
    /// Which worker took the job.
    pub worker: String,
    /// Where the forward pass ran, as `--device` names it.
    pub device: String,
    /// How many pictures shared the forward pass.
    pub batch_size: usize,
    /// Where the time went.
    pub timings: Timings,
}

impl Prediction {
    /// The probability of the predicted class.
    #[must_use]
    pub fn confidence(&self) -> f32 {
        self.probabilities
            .get(usize::from(self.predicted_class))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Name of a model and of its weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelName {
    /// The architecture.
    pub name: String,
    /// SHA-256 of the weight file, in hexadecimal digits.
    pub weights_sha256: String,
}

/// Durations of the stages, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// From the upload to the start of the forward pass; across machines, as good as their clocks agree.
    pub queued_ms: f64,
    /// The forward pass of the whole batch.
    pub inference_ms: f64,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For a program.
    pub code: FailureCode,
    /// For a person: one sentence.
    pub detail: String,
}

/// The kinds of failure that a program may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The model refused this picture, though it takes others.
    Rejected,
    /// Workers that took this job died.
    Poison,
    /// The bytes on the queue were no job that this version can read.
    Unreadable,
}
