//! Where a collector takes traces, from its URL.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use serde::Deserialize;

/// Where OTLP over HTTP has traces, below the collector's own address.
const PATH: &str = "/v1/traces";

/// A collector's address for traces.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// A text that is no such address. Does not repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not of the right form.
    #[error("expected the URL of a collector, such as http://127.0.0.1:4318")]
    Form,
    /// It has a user or a password, which would get into logs.
    #[error("a URL with a password: give it as OTEL_EXPORTER_OTLP_HEADERS=authorization=…")]
    Credentials,
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let mut url = Url::parse(text).map_err(|_| InvalidEndpoint::Form)?;
        if !["http", "https"].contains(&url.scheme()) || url.query().is_some() {
            return Err(InvalidEndpoint::Form);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidEndpoint::Credentials);
        }
        let path = url.path().trim_end_matches('/');
        if !path.ends_with(PATH) {
            let path = format!("{path}{PATH}");
            url.set_path(&path);
        }
        Ok(Self(url.into()))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Self, InvalidEndpoint> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_address_of_the_collector() {
        let cases = [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel/base/", "https://otel/base/v1/traces"),
            ("http://otel/v1/traces", "http://otel/v1/traces"),
        ];
        for (text, address) in cases {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), address);
        }
    }

    #[test]
    fn what_is_no_collector_is_refused() {
        for text in ["", "4318", "otel:4318", "grpc://otel:4317", "http://otel?key=1"] {
            assert_eq!(text.parse::<Endpoint>(), Err(InvalidEndpoint::Form), "{text}");
        }
        let secret = "http://me:secret@otel:4318".parse::<Endpoint>();
        assert_eq!(secret, Err(InvalidEndpoint::Credentials));
    }
}
