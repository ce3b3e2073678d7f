//! How often each client may ask: a bucket of requests, which fills at a steady rate (GCRA).
//!
//! In comes who asks, out goes how it stands, for the `RateLimit` headers
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::super::error::ApiError;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// All with keys of one name.
    Name(Arc<str>),
    /// All from one address.
    Address(IpAddr),
}

type Buckets = RateLimiter<Who, HashMapStateStore<Who>, DefaultClock, StateInformationMiddleware>;

/// The limit of each client.
pub struct Rate {
    buckets: Buckets,
    clock: DefaultClock,
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// How a client stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that fit into its bucket.
    burst: u32,
    /// Seconds in which an empty bucket fills.
    window_s: u64,
    /// Requests that it may make at once.
    remaining: u32,
    /// Seconds until its bucket is full, or until it may ask again.
    pub reset_s: u64,
}

impl Standing {
    /// What each client may, as a header.
    pub fn policy(&self) -> (&'static str, String) {
        let value = format!("\"requests\";q={};w={}", self.burst, self.window_s);
        ("ratelimit-policy", value)
    }

    /// What this one still may, as a header.
    pub fn state(&self) -> (&'static str, String) {
        let value = format!("\"requests\";r={};t={}", self.remaining, self.reset_s);
        ("ratelimit", value)
    }
}

impl Rate {
    /// Of so many requests a second, and so many at once after a pause.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            buckets: RateLimiter::hashmap(quota).with_middleware(),
            clock: DefaultClock::default(),
            per_second,
            burst,
        }
    }

    /// Takes so many requests out of a client's bucket, or none of them.
    pub fn take(&self, who: &Who, requests: NonZeroU32) -> Result<Standing, ApiError> {
        let standing = |remaining: u32, reset_s: u64| Standing {
            burst: self.burst.get(),
            window_s: self.seconds(self.burst.get()),
            remaining,
            reset_s,
        };
        match self.buckets.check_key_n(who, requests) {
            Ok(Ok(state)) => {
                let remaining = state.remaining_burst_capacity();
                Ok(standing(
                    remaining,
                    self.seconds(self.burst.get().saturating_sub(remaining)),
                ))
            }
            Ok(Err(refused)) => {
                let wait = refused.wait_time_from(self.clock.now());
                Err(ApiError::TooOften(standing(0, wait.as_secs() + 1)))
            }
            // More than fit into a bucket can never come together.
            Err(_) => Err(ApiError::TooManyFiles {
                limit: self.burst.get() as usize,
            }),
        }
    }

    /// Forgets those whose buckets are full.
    pub fn forget_idle(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }

    fn seconds(&self, requests: u32) -> u64 {
        requests.div_ceil(self.per_second.get()).into()
    }
}
