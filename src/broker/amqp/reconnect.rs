//! Opening links again and again: for some seconds at the start, without end later.
//!
//! In comes what opens a link, out goes a link. Knows nothing of what it is for.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::BrokerError;
use super::endpoint::Endpoint;
use super::link::LinkError;

/// How long a broker that is not there yet is tried at the start.
const PATIENCE: Duration = Duration::from_secs(5);
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Pauses that double, each shortened by chance, so that many clients do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSES.0 }
    }
}

impl Backoff {
    /// How long to pause now: half of the whole pause at least.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(PAUSES.1);
        // The standard library's one source of chance: the keys of a hash map.
        let chance = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
        whole.mul_f64(0.5 + chance / 2.0)
    }
}

/// How often links were rebuilt; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Rebuilt(Arc<AtomicU64>);

impl Rebuilt {
    /// Once more.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn times(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Opens a link, trying for some seconds if the broker does not answer.
///
/// # Errors
/// [`BrokerError::Refused`] at once, [`BrokerError::Unavailable`] in the end.
pub async fn open_patiently<L, F>(endpoint: &Endpoint, mut open: impl FnMut() -> F) -> Result<L, BrokerError>
where
    F: Future<Output = Result<L, LinkError>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut backoff = Backoff::default();
    let mut warned = false;
    loop {
        let error = match open().await {
            Ok(link) => return Ok(link),
            Err(error) => error,
        };
        let pause = backoff.pause();
        if error.is_refusal() || Instant::now() + pause >= deadline {
            return Err(endpoint.error(&Arc::new(error)));
        }
        if !std::mem::replace(&mut warned, true) {
            tracing::warn!(
                broker = endpoint.address(),
                error = &error as &dyn std::error::Error,
                "the broker does not answer yet: waiting for it"
            );
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_differ() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= PAUSES.0 / 2 && pauses[0] <= PAUSES.0, "{pauses:?}");
        let late = &pauses[10..];
        assert!(
            late.iter()
                .all(|pause| *pause >= PAUSES.1 / 2 && *pause <= PAUSES.1),
            "{pauses:?}"
        );
        assert!(late.iter().any(|pause| *pause != late[0]), "{pauses:?}");
    }
}
