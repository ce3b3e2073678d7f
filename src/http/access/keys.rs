//! API keys: shown once when they are made, and kept as their SHA-256 alone.
//!
//! A key has 256 random bits, so its plain hash can't be reversed by guessing, and needs no salt. Reads and writes no
//! file.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every key begins with: programs that look for leaked secrets can tell it.
const PREFIX: &str = "mnistq_";
/// Longest name, in characters.
const LONGEST_NAME: usize = 64;

/// A key as its client has it. Never shown but where it is made.
pub struct ApiKey(String);

impl ApiKey {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn make() -> Result<Self, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random))))
    }

    /// Its text: for its client alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it, under this name.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn line(&self, name: &str) -> Result<KeyLine, InvalidName> {
        Ok(KeyLine {
            name: valid(name)?,
            digest: Sha256::digest(&self.0).into(),
        })
    }
}

/// A text that can't name a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's name has 1 to {LONGEST_NAME} letters, digits, dots, hyphens and underscores")]
pub struct InvalidName;

fn valid(name: &str) -> Result<Arc<str>, InvalidName> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name.into())
    } else {
        Err(InvalidName)
    }
}

/// What is kept of a key: `NAME SHA-256`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    name: Arc<str>,
    digest: [u8; 32],
}

impl KeyLine {
    /// Whose it is. Several keys may have one name: then a client can change from one to the other.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The start of its SHA-256, to tell it from others of its name.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyLine {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let form = "expected a name and the SHA-256 of its key, as `mnistq keys add` writes them";
        let (name, digits) = text.split_once(' ').ok_or(form)?;
        let name = valid(name).map_err(|_| form)?;
        let digits = digits.trim();
        let mut digest = [0; 32];
        if digits.len() != 2 * digest.len() || !digits.is_ascii() {
            return Err(form);
        }
        for (byte, place) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[place..place + 2], 16).map_err(|_| form)?;
        }
        Ok(Self { name, digest })
    }
}

/// All keys that are let in.
#[derive(Debug, Default)]
pub struct Keys(Vec<KeyLine>);

/// A text that is no list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// A line is wrong. Does not repeat it: somebody may have written a key itself.
    #[error("line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is none in it.
    #[error("there is no key in it: `mnistq keys add NAME` makes one")]
    Empty,
}

impl FromStr for Keys {
    type Err = InvalidKeys;

    /// One key a line; empty lines, and those that begin with `#`, say nothing.
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let keys = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
        let keys: Vec<KeyLine> = keys
            .map(|(line, text)| text.parse().map_err(|reason| InvalidKeys::Line { line, reason }))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(InvalidKeys::Empty);
        }
        Ok(Self(keys))
    }
}

impl Keys {
    /// Each of them.
    #[must_use]
    pub fn lines(&self) -> &[KeyLine] {
        &self.0
    }

    /// The name of a key, if it is one of these. How long that takes says nothing of the key.
    #[must_use]
    pub fn name_of(&self, key: &str) -> Option<Arc<str>> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut found = None;
        for line in &self.0 {
            if line.digest.ct_eq(&digest).into() {
                found = Some(&line.name);
            }
        }
        found.map(Arc::clone)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_line_alone() {
        let (one, other) = (ApiKey::make().unwrap(), ApiKey::make().unwrap());
        let text = format!("# ours\n\n{}\n", one.line("alice").unwrap());
        let keys: Keys = text.parse().unwrap();
        assert_eq!(keys.name_of(one.expose()).as_deref(), Some("alice"));
        assert_eq!(keys.name_of(other.expose()), None);
        assert_eq!(keys.name_of(""), None);
        assert!(!text.contains(one.expose()));
    }

    #[test]
    fn several_keys_may_have_one_name() {
        let (old, new) = (ApiKey::make().unwrap(), ApiKey::make().unwrap());
        let text = format!(
            "{}\n{}",
            old.line("a-1.b_c").unwrap(),
            new.line("a-1.b_c").unwrap()
        );
        let keys: Keys = text.parse().unwrap();
        for key in [old, new] {
            assert_eq!(keys.name_of(key.expose()).as_deref(), Some("a-1.b_c"));
        }
        assert_ne!(keys.lines()[0].fingerprint(), keys.lines()[1].fingerprint());
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_by_its_line() {
        let digest = "0".repeat(64);
        for text in [
            "alice",
            "alice xyz",
            &format!("al/ice {digest}"),
            &format!("alice {}é", &digest[2..]),
        ] {
            let text = format!("# comment\n{text}");
            assert!(
                matches!(text.parse::<Keys>(), Err(InvalidKeys::Line { line: 2, .. })),
                "{text}"
            );
        }
        assert_eq!("# nothing".parse::<Keys>().err(), Some(InvalidKeys::Empty));
        assert_eq!(ApiKey::make().unwrap().line("").err(), Some(InvalidName));
    }
}
