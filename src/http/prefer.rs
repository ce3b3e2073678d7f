//! The `Prefer` header (RFC 7240), as far as it is honoured here: `wait`, in seconds, and `respond-async`.

use std::time::Duration;

use actix_web::http::header::HeaderMap;

/// How long the client would rather wait than come back, as far as that is granted; none if it did not say. The first
/// `wait` counts.
pub fn wait(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    headers
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(preferences)
        .find_map(wait_seconds)
        .map(|seconds| Duration::from_secs(seconds).min(longest))
}

/// Whether the client would rather have ids than wait for answers.
pub fn respond_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(preferences)
        .any(|preference| {
            let name = preference.split(';').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("respond-async")
        })
}

/// The header that tells for how long the wait was granted.
pub fn applied(granted: Duration) -> (&'static str, String) {
    ("preference-applied", format!("wait={}", granted.as_secs()))
}

/// Splits at commas, but not within quotes.
fn preferences(header: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    header.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
}

/// Of one preference: the number in `wait=5`, whatever parameters follow.
fn wait_seconds(preference: &str) -> Option<u64> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let value = value.trim();
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn wait_of(header: &str) -> Option<Duration> {
        let request = TestRequest::default().insert_header(("Prefer", header));
        wait(request.to_http_request().headers(), Duration::from_secs(30))
    }

    #[test]
    fn finds_wait_among_other_preferences() {
        for header in [
            "wait=5",
            "respond-async, wait=5",
            "Wait = 5",
            "wait=\"5\"; x=1",
            "foo; wait=9, wait=5",
            "foo=\"a, wait=9, b\", wait=5, wait=7",
        ] {
            assert_eq!(wait_of(header), Some(Duration::from_secs(5)), "{header}");
        }
    }

    #[test]
    fn ignores_what_is_no_number_of_seconds() {
        for header in [
            "",
            "respond-async",
            "wait",
            "wait=",
            "wait=-1",
            "wait=soon",
            "waiting=5",
            "foo=\"wait=5\"",
        ] {
            assert_eq!(wait_of(header), None, "{header}");
        }
    }
}
