//! Where a RabbitMQ is and as whom to log in, from its URL.
//!
//! In comes an address, out go what amqprs opens a connection with, and errors that name the address without
//! its password. Connects to nothing.

use std::sync::Arc;

use amqprs::connection::OpenConnectionArguments;
use amqprs::tls::TlsAdaptor;
use percent_encoding::percent_decode_str;
use tokio_rustls::TlsConnector;

use super::super::BrokerError;
use super::link::LinkError;
use crate::address::ServerUrl;
use crate::tls::{TlsError, Trust};

/// Where RabbitMQ listens unless told otherwise, without TLS and with it.
const PORTS: (u16, u16) = (5672, 5671);
/// RabbitMQ's advice is 5 to 20 s: shorter finds faults that are none. A dead peer is noticed after two.
const HEARTBEAT_S: u16 = 10;
/// The longest text that AMQP 0-9-1 carries as a name.
pub const LONGEST_NAME_BYTES: usize = 255;

/// A RabbitMQ to connect to.
#[derive(Clone)]
pub struct Endpoint {
    arguments: OpenConnectionArguments,
    address: Arc<str>,
}

/// A URL that names no RabbitMQ.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUrl {
    /// Not of the right form.
    #[error(
        "expected amqp://user:password@host:port/vhost or amqps://…, with %2f for a slash in a name or password"
    )]
    Form,
    /// TLS can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Endpoint {
    /// Reads a URL as RabbitMQ specifies it: <https://www.rabbitmq.com/docs/uri-spec>. Without user and
    /// password it is RabbitMQ's `guest`, without a virtual host `/`.
    pub fn parse(url: &ServerUrl, trust: &Trust) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = url.expose().split_once("://").ok_or(InvalidUrl::Form)?;
        let by_tls = scheme == "amqps";
        let (authority, virtual_host) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = credentials.split_once(':').ok_or(InvalidUrl::Form)?;
        let (host, port) = match host.rsplit_once(':') {
            // Not the colons within an IPv6 address, which stands in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| InvalidUrl::Form)?),
            _ if by_tls => (host, PORTS.1),
            _ => (host, PORTS.0),
        };
        let virtual_host = match virtual_host {
            "" => "/".to_owned(),
            name => decode(name)?,
        };
        if host.is_empty() || virtual_host.contains('?') || virtual_host.len() > LONGEST_NAME_BYTES {
            return Err(InvalidUrl::Form);
        }
        let mut arguments = OpenConnectionArguments::new(host, port, &decode(user)?, &decode(password)?);
        arguments.virtual_host(&virtual_host).heartbeat(HEARTBEAT_S);
        if by_tls {
            let connector = TlsConnector::from(Arc::new(trust.client()?));
            let name = host.trim_matches(['[', ']']).to_owned();
            arguments.tls_adaptor(TlsAdaptor::new(connector, name));
        }
        Ok(Self {
            arguments,
            address: url.to_string().into(),
        })
    }

    /// What to open a connection with; it shows at the broker under this name.
    pub fn arguments(&self, connection_name: &str) -> OpenConnectionArguments {
        self.arguments.clone().connection_name(connection_name).finish()
    }

    /// The address, without its password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The error of the seam for a link that can't be used.
    pub fn error(&self, cause: &Arc<LinkError>) -> BrokerError {
        let (address, source) = (self.address.to_string(), Box::new(Arc::clone(cause)));
        if cause.is_refusal() {
            BrokerError::Refused { address, source }
        } else {
            BrokerError::Unavailable { address, source }
        }
    }
}

fn decode(text: &str) -> Result<String, InvalidUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| InvalidUrl::Form)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use amqprs::security::SecurityCredentials;

    use super::*;
    use crate::address::Address;

    fn parse(url: &str) -> Result<Endpoint, InvalidUrl> {
        let Ok(Address::Amqp(url)) = url.parse() else {
            panic!("{url} is an address of RabbitMQ");
        };
        Endpoint::parse(&url, &Trust::default())
    }

    #[test]
    fn a_whole_url_is_read() {
        let endpoint = parse("amqp://us%40er:p%3Ass%2F@example.org:5673/%2fdigits").unwrap();
        let arguments = endpoint.arguments("test");
        assert_eq!(arguments.get_host(), "example.org");
        assert_eq!(arguments.get_port(), 5673);
        assert_eq!(arguments.get_virtual_host(), "/digits");
        assert!(*arguments.get_credentials() == SecurityCredentials::new_plain("us@er", "p:ss/"));
        assert_eq!(
            endpoint.address(),
            "amqp://us%40er:***@example.org:5673/%2fdigits"
        );
    }

    #[test]
    fn what_is_left_out_is_as_rabbitmq_has_it() {
        for url in [
            "amqp://example.org",
            "amqp://example.org/",
            "amqp://example.org/%2f",
        ] {
            let arguments = parse(url).unwrap().arguments("test");
            assert_eq!(arguments.get_host(), "example.org");
            assert_eq!(arguments.get_port(), 5672);
            assert_eq!(arguments.get_virtual_host(), "/");
            assert!(*arguments.get_credentials() == SecurityCredentials::new_plain("guest", "guest"));
        }
    }

    #[test]
    fn an_ipv6_address_keeps_its_brackets() {
        for (url, port) in [("amqp://[::1]", 5672), ("amqp://[::1]:5673/a", 5673)] {
            let arguments = parse(url).unwrap().arguments("test");
            assert_eq!((arguments.get_host(), arguments.get_port()), ("[::1]", port));
        }
    }

    #[test]
    fn what_is_no_url_of_rabbitmq_is_refused() {
        let long = format!("amqp://host/{}", "v".repeat(256));
        for url in [
            "amqp://user@host",
            "amqp://host:port",
            "amqp://:5672",
            "amqp://host/v?heartbeat=1",
            "amqp://%ff:a@host",
            &long,
        ] {
            assert!(matches!(parse(url), Err(InvalidUrl::Form)), "{url}");
        }
    }
}
