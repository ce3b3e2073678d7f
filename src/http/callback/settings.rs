//! What the operator allows of callbacks.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// Which addresses may be called, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Hosts that may be called: `example.org`, or `*.example.org` for all below it; none: callbacks are off.
    pub hosts: Vec<String>,
    /// What calls are signed with: `whsec_` and 24 to 64 bytes in base64.
    pub secret: Option<Secret>,
    /// Whether a host may be on a private network, or on this machine.
    pub private_addresses: bool,
    /// How often a call is tried.
    pub attempts: NonZeroU32,
    /// The pause after the first try; each is six times as long as the one before, at most six hours.
    pub first_pause_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            secret: None,
            private_addresses: false,
            attempts: const { NonZeroU32::new(8).unwrap() },
            first_pause_ms: 5_000,
        }
    }
}

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// Each pause is so many times as long as the one before.
const GROWTH: u32 = 6;

impl Settings {
    /// How long to wait after so many tries; none: it is given up.
    pub fn pause_after(&self, attempts: u32) -> Option<Duration> {
        if attempts >= self.attempts.get() {
            return None;
        }
        let growth = GROWTH.saturating_pow(attempts.saturating_sub(1));
        let pause = Duration::from_millis(self.first_pause_ms).saturating_mul(growth);
        Some(pause.min(LONGEST_PAUSE))
    }
}

/// A key for signatures. Never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A text that is no secret. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a callback secret is `whsec_` and 24 to 64 bytes in base64: printf whsec_; openssl rand -base64 32")]
pub struct InvalidSecret;

impl TryFrom<String> for Secret {
    type Error = InvalidSecret;

    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        text.parse()
    }
}

impl std::str::FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(InvalidSecret)
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
