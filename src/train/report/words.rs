//! Text, numbers and times as a page has them.
//!
//! Values in, HTML text out. Knows no page.

use time::OffsetDateTime;

/// Text that means itself, also within an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// 60,000: digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// 98.92 %, with a space that does not break.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.2}\u{a0}%", share * 100.0)
    } else {
        "–".to_owned()
    }
}

/// Four digits behind the point, or a dash for what is no number.
pub(super) fn loss(loss: Option<f64>) -> String {
    match loss.filter(|loss| loss.is_finite()) {
        Some(loss) if loss.abs() >= 1e6 => format!("{loss:.2e}"),
        Some(loss) => format!("{loss:.4}"),
        None => "–".to_owned(),
    }
}

/// 0.84 s, 12.3 s, 3 min 05 s, 2 h 04 min.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    if seconds < 10.0 {
        format!("{seconds:.2}\u{a0}s")
    } else if whole < 60 {
        format!("{seconds:.1}\u{a0}s")
    } else if whole < 3600 {
        format!("{}\u{a0}min {:02}\u{a0}s", whole / 60, whole % 60)
    } else {
        format!("{}\u{a0}h {:02}\u{a0}min", whole / 3600, whole % 3600 / 60)
    }
}

/// 2026-11-25 17:39 UTC, of seconds since 1970; a dash beyond the calendar.
pub(super) fn moment(time: f64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(time as i64) else {
        return "–".to_owned();
    };
    let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
    let (hour, minute) = (moment.hour(), moment.minute());
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_no_markup() {
        assert_eq!(escaped(r#"<a b="c">&'"#), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn numbers_are_easy_to_read() {
        let numbers = [0, 999, 1000, 60_000, 1_199_882].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "60,000", "1,199,882"]);
        assert_eq!(percent(0.9892), "98.92\u{a0}%");
        assert_eq!(percent(f64::NAN), "–");
        assert_eq!(loss(Some(0.035_14)), "0.0351");
        assert_eq!(loss(Some(2.5e30)), "2.50e30");
        assert_eq!(duration(0.844), "0.84\u{a0}s");
        assert_eq!(duration(59.97), "1\u{a0}min 00\u{a0}s");
        assert_eq!(duration(7449.0), "2\u{a0}h 04\u{a0}min");
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        // `date -u -d @SECONDS`
        assert_eq!(moment(0.0), "1970-01-01 00:00 UTC");
        assert_eq!(moment(951_782_399.9), "2000-02-28 23:59 UTC");
        assert_eq!(moment(951_868_800.0), "2000-03-01 00:00 UTC");
        assert_eq!(moment(4_107_542_399.0), "2100-02-28 23:59 UTC");
    }
}
