//! The `Cancel-After` header of an upload: after how long nobody wants its outcome any more.

use std::time::Duration;

use actix_web::http::header::HeaderMap;

use super::error::ApiError;

/// The deadline that a request asks for, or the `longest`, which is also the default.
pub fn deadline(headers: &HeaderMap, longest: Duration) -> Result<Duration, ApiError> {
    let mut asked = headers.get_all("cancel-after");
    let Some(first) = asked.next() else {
        return Ok(longest);
    };
    let deadline = first.to_str().ok().and_then(duration);
    match deadline {
        Some(deadline) if asked.next().is_none() && !deadline.is_zero() && deadline <= longest => {
            Ok(deadline)
        }
        _ => Err(ApiError::Deadline {
            longest_s: longest.as_secs(),
        }),
    }
}

/// A whole number and its unit; of seconds if there is none.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().ok()?;
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

    fn asked(headers: &[&str]) -> Result<Duration, ApiError> {
        let request = headers.iter().fold(TestRequest::default(), |request, header| {
            request.append_header(("Cancel-After", *header))
        });
        deadline(request.to_http_request().headers(), HOUR)
    }

    #[test]
    fn a_deadline_is_a_number_with_its_unit() {
        assert_eq!(asked(&[]).unwrap(), HOUR);
        for (header, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            (" 30 s ", 30_000),
            ("30", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                asked(&[header]).unwrap(),
                Duration::from_millis(milliseconds),
                "{header}"
            );
        }
    }

    #[test]
    fn a_deadline_that_means_nothing_or_too_much_is_refused() {
        let headers = [
            "",
            "s",
            "soon",
            "-1s",
            "+",
            "1.5s",
            "0s",
            "61m",
            "2d",
            "1 h 5 m",
            "99999999999999999999h",
        ];
        for header in headers {
            assert!(asked(&[header]).is_err(), "{header}");
        }
        assert!(asked(&["1s", "2s"]).is_err());
    }
}
