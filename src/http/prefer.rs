//! The `Prefer` header (RFC 7240), as far as it is honoured here: `wait`, in seconds.

use std::time::Duration;

use actix_web::HttpRequest;

/// How long the client would rather wait than come back; none if it did not say.
pub fn wait(request: &HttpRequest) -> Option<Duration> {
    let values = request
        .headers()
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .find_map(seconds)
        .map(Duration::from_secs)
}

/// Of one preference: `wait=5`, whatever parameters follow.
fn seconds(preference: &str) -> Option<u64> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    value.trim().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn wait_of(header: &str) -> Option<Duration> {
        wait(
            &TestRequest::default()
                .insert_header(("Prefer", header))
                .to_http_request(),
        )
    }

    #[test]
    fn finds_wait_among_other_preferences() {
        for header in [
            "wait=5",
            "respond-async, wait=5",
            "Wait = 5",
            "wait=\"5\"; x=1",
            "foo; wait=9, wait=5",
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
        ] {
            assert_eq!(wait_of(header), None, "{header}");
        }
    }
}
