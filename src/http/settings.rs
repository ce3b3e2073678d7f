//! Address and limits of the front end.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// Address and limits of the front end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; port 0 picks a free one.
    pub bind: SocketAddr,
    /// File of our certificate and those between it and an authority's, as PEM; none: no TLS.
    pub tls_certificate: Option<PathBuf>,
    /// File of its key, as PEM.
    pub tls_key: Option<PathBuf>,
    /// Threads that serve, at most 255; 0: one for each core.
    pub threads: u8,
    /// Connections at the same time; more wait until one closes. Each takes one open file and 30 kB.
    pub max_connections: usize,
    /// Largest picture.
    pub max_upload_bytes: usize,
    /// Largest body, of several pictures.
    pub max_request_bytes: usize,
    /// Most pictures in one request.
    pub max_files: usize,
    /// Bytes of unread uploads that all clients together may have in memory; more are told to come back.
    pub max_buffered_bytes: usize,
    /// Longest time for one body to come in.
    pub body_timeout_ms: u64,
    /// How long an outcome is kept.
    pub result_ttl_s: u64,
    /// How long a job may wait for its outcome before it expires; a request may ask for less.
    pub deadline_s: NonZeroU64,
    /// Longest time that a `Prefer: wait` is granted.
    pub max_wait_s: u64,
    /// Most test digits that the page's flood may queue at once; 0: it is off.
    pub flood: u32,
    /// How often a stream of events without news carries a comment, so that proxies keep it open and a
    /// client that is gone is noticed.
    pub event_keep_alive_ms: u64,
    /// How long it still takes requests, though unready, after it was told to stop: time for a load balancer
    /// to notice.
    pub unready_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8000)),
            tls_certificate: None,
            tls_key: None,
            threads: 0,
            max_connections: 10_000,
            max_upload_bytes: 16 << 20,
            max_request_bytes: 64 << 20,
            max_files: 256,
            max_buffered_bytes: 512 << 20,
            body_timeout_ms: 30_000,
            result_ttl_s: 3600,
            deadline_s: const { NonZeroU64::new(24 * 3600).unwrap() },
            max_wait_s: 30,
            flood: 0,
            event_keep_alive_ms: 10_000,
            unready_ms: 0,
        }
    }
}

impl Settings {
    /// How long an outcome is kept.
    #[must_use]
    pub fn result_ttl(&self) -> Duration {
        Duration::from_secs(self.result_ttl_s)
    }

    /// How long a job may wait for its outcome.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s.get())
    }

    /// Longest time that a `Prefer: wait` is granted.
    pub(super) fn max_wait(&self) -> Duration {
        Duration::from_secs(self.max_wait_s)
    }
}
