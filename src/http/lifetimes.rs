//! The headers of an upload that carry a time: `Cancel-After`, after which nobody wants its outcome any more, and
//! `Result-TTL`, for which its outcome is kept.

use std::time::Duration;

use actix_web::http::header::HeaderMap;

use super::error::ApiError;

/// Names of the two.
pub const CANCEL_AFTER: &str = "Cancel-After";
pub const RESULT_TTL: &str = "Result-TTL";

/// The time that a request asks for in the header `name`, or the `longest`, which is also the default.
pub fn asked(headers: &HeaderMap, name: &'static str, longest: Duration) -> Result<Duration, ApiError> {
    let mut asked = headers.get_all(name);
    let Some(first) = asked.next() else {
        return Ok(longest);
    };
    let time = first.to_str().ok().and_then(duration);
    match time {
        Some(time) if asked.next().is_none() && !time.is_zero() && time <= longest => Ok(time),
        _ => Err(ApiError::Time {
            name,
            longest_s: longest.as_secs(),
        }),
    }
}

/// A whole number and its unit; of seconds if there is none.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number = digits.trim_end();
    // What reads numbers would take a sign.
    let number: u64 = number
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| number.parse().ok())??;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_ms)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn asked_by(headers: &[&str]) -> Result<Duration, ApiError> {
        let request = headers.iter().fold(TestRequest::default(), |request, header| {
            request.append_header((CANCEL_AFTER, *header))
        });
        asked(request.to_http_request().headers(), CANCEL_AFTER, HOUR)
    }

    #[test]
    fn a_time_is_a_number_with_its_unit() {
        assert_eq!(asked_by(&[]).unwrap(), HOUR);
        for (header, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            (" 30 s ", 30_000),
            ("30", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                asked_by(&[header]).unwrap(),
                Duration::from_millis(milliseconds),
                "{header}"
            );
        }
    }

    #[test]
    fn a_time_that_means_nothing_or_too_much_is_refused() {
        let headers = [
            "",
            "s",
            "soon",
            "-1s",
            "+",
            "+5m",
            "1.5s",
            "0s",
            "61m",
            "2d",
            "1 h 5 m",
            "99999999999999999999h",
        ];
        for header in headers {
            assert!(asked_by(&[header]).is_err(), "{header}");
        }
        assert!(asked_by(&["1s", "2s"]).is_err());
    }
}
