//! Where in a trace a job was put on the queue, in the text form of W3C Trace Context.
//!
//! It travels beside the job, not in it: a queue without it loses nothing but a line in a picture.

use std::fmt;
use std::str::FromStr;

/// A place in a trace: <https://www.w3.org/TR/trace-context/#traceparent-header>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace, not all zero.
    pub trace_id: [u8; 16],
    /// The span, not all zero.
    pub span_id: [u8; 8],
    /// The lowest bit: it is recorded.
    pub flags: u8,
}

/// A text that names no place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a `traceparent` of W3C Trace Context")]
pub struct InvalidTraceParent;

/// `00-{trace id}-{span id}-{flags}`, in lower-case hexadecimal digits.
const LENGTH: usize = 55;

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads that of later versions, too, as far as it is known.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let bytes = text.as_bytes();
        let (known, later) = bytes.split_at_checked(LENGTH).ok_or(InvalidTraceParent)?;
        let fields: Vec<&[u8]> = known.split(|byte| *byte == b'-').collect();
        let &[version, trace_id, span_id, flags] = fields.as_slice() else {
            return Err(InvalidTraceParent);
        };
        let [version] = hexadecimal(version)?;
        let goes_on = version > 0 && later.first() == Some(&b'-');
        if version == u8::MAX || !(later.is_empty() || goes_on) {
            return Err(InvalidTraceParent);
        }
        let [flags] = hexadecimal(flags)?;
        let place = Self {
            trace_id: hexadecimal(trace_id)?,
            span_id: hexadecimal(span_id)?,
            flags,
        };
        if place.trace_id == [0; 16] || place.span_id == [0; 8] {
            return Err(InvalidTraceParent);
        }
        Ok(place)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

/// Exactly `N` bytes.
fn hexadecimal<const N: usize>(text: &[u8]) -> Result<[u8; N], InvalidTraceParent> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidTraceParent),
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return Err(InvalidTraceParent);
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_text_is_read_and_written_as_it_was() {
        let place: TraceParent = TEXT.parse().unwrap();
        assert_eq!(place.to_string(), TEXT);
        assert_eq!(
            (place.trace_id[0], place.span_id[7], place.flags),
            (0x0a, 0x31, 1)
        );
        let later = format!("01{}-more", &TEXT[2..]);
        assert_eq!(later.parse(), Ok(place));
    }

    #[test]
    fn what_is_none_is_refused() {
        let zeros = TEXT.replace("b7ad6b7169203331", "0000000000000000");
        let wrong = [
            "",
            &TEXT[1..],
            &TEXT.replace("00-", "ff-"),
            &TEXT.replace("0af7", "0AF7"),
            &TEXT.replace("-01", "_01"),
            &format!("{TEXT}-more"),
            &format!("{TEXT}1"),
            &zeros,
            &"ä".repeat(55),
        ];
        for text in wrong {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text}");
        }
    }
}
