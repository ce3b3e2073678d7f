//! Where a broker or a store is: a database file or a server's address.
//!
//! Parses and prints addresses. A printed address never shows a password; connects to nothing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// An address as given to `--broker` or `--store`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// `sqlite:FILE`: a database file on this machine.
    Sqlite(PathBuf),
    /// `amqp://…` or `amqps://…`: RabbitMQ.
    Amqp(ServerUrl),
    /// `redis://…` or `rediss://…`: Redis or Valkey.
    Redis(ServerUrl),
}

/// A server's URL; the password in it shows neither in `Display` nor in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// The whole address, password included: for the client library alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match authority.rsplit_once('@') {
            Some((credentials, host)) => {
                let user = credentials.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:***@{host}{path}")
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Amqp(url) | Self::Redis(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no address. Does not repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address that mnistq knows: expected sqlite:FILE, amqp://user:password@host:5672/vhost or redis://host:6379/0"
)]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(InvalidAddress)
            } else {
                Ok(Self::Sqlite(path.into()))
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidAddress)?;
        if rest.is_empty() {
            return Err(InvalidAddress);
        }
        match scheme {
            "amqp" | "amqps" => Ok(Self::Amqp(ServerUrl(text.to_owned()))),
            "redis" | "rediss" => Ok(Self::Redis(ServerUrl(text.to_owned()))),
            _ => Err(InvalidAddress),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}
