//! What the operator sets of who may ask.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;

/// Who may ask, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// File of API keys; none: everybody may ask.
    pub api_keys: Option<PathBuf>,
    /// Whether everybody may ask from other machines too.
    pub public_without_keys: bool,
    /// Requests a second of each key, and where there are none of each address; 0: no limit.
    pub requests_per_second: u32,
    /// Requests that may come at once after a pause.
    pub burst: NonZeroU32,
    /// Whether all requests come through a proxy, which says in `X-Forwarded-For` from where.
    pub behind_proxy: bool,
    /// Origins whose pages may ask from a browser (CORS).
    pub origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_keys: None,
            public_without_keys: false,
            requests_per_second: 0,
            burst: const { NonZeroU32::new(100).unwrap() },
            behind_proxy: false,
            origins: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether other machines can reach `address` without a key, though nobody said that they may.
    #[must_use]
    pub fn exposes(&self, address: SocketAddr) -> bool {
        !address.ip().to_canonical().is_loopback() && self.api_keys.is_none() && !self.public_without_keys
    }
}
