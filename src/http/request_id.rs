//! What a request is called in the log and to its client: by its own `X-Request-Id`, or by a new one.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of the longest that is taken over: it goes into every line of the log.
const LONGEST: usize = 128;

/// New names: unlike those of any other process, and cheap.
pub struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            // The standard library's one source of chance: the keys of a hash map.
            start: RandomState::new().hash_one(()),
            count: AtomicU64::new(0),
        }
    }
}

impl RequestIds {
    /// The name that a request has, if a log can bear it, or a new one.
    pub fn name(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(&REQUEST_ID) {
            Some(own) if is_sane(own.as_bytes()) => own.clone(),
            _ => self.issue(),
        }
    }

    fn issue(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:016x}-{count:x}", self.start);
        HeaderValue::from_str(&name).expect("hexadecimal digits may stand in a header")
    }
}

fn is_sane(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte);
    (1..=LONGEST).contains(&name.len()) && name.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static(name));
        headers
    }

    #[test]
    fn a_sane_name_is_kept() {
        let ids = RequestIds::default();
        for name in [
            "a",
            "01a21109-c184-76b9-81af-64d38aef900c",
            "Root=1-67891233:x/y+z@~",
        ] {
            assert_eq!(ids.name(&named(name)), name);
        }
    }

    #[test]
    fn all_others_get_one_of_their_own() {
        let ids = RequestIds::default();
        let first = ids.name(&HeaderMap::new());
        assert_ne!(ids.name(&HeaderMap::new()), first);
        assert_ne!(RequestIds::default().name(&HeaderMap::new()), first);
        for name in ["", "two words", "quote\"", "{\"json\":1}", "back\\slash"] {
            assert_ne!(ids.name(&named(name)), name);
        }
        let long: &'static str = Box::leak("x".repeat(LONGEST + 1).into_boxed_str());
        assert_ne!(ids.name(&named(long)), long);
    }
}
