//! The ids that clients are given.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{NoContext, Timestamp, Uuid};

/// The id that a client is given: a UUIDv7 with 74 random bits.
///
/// Its time tells a result that has expired from an id that was never issued, with nothing stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(as = InferenceId, example = "01890a5d-ac96-774b-bcce-b302099a8057")]
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
