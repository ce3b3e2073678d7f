//! Where calls may go: the hosts that the operator allows, and no address that only this network can reach.
//!
//! A name is checked when it is ordered, and the addresses that it resolves to when it is called: what a name's owner
//! changes in between gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The places that the operator allows.
#[derive(Debug, Clone)]
pub struct Places {
    hosts: Vec<String>,
    private: Private,
}

/// Whether addresses of private networks may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Private {
    Allowed,
    Refused,
}

impl Places {
    /// Those of the settings.
    pub fn new(settings: &super::Settings) -> Self {
        Self {
            hosts: settings
                .hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            private: if settings.private_addresses {
                Private::Allowed
            } else {
                Private::Refused
            },
        }
    }

    /// Whether a text is an address that may be called; else why not.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let url = Url::parse(text).map_err(|error| format!("it is no address: {error}"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err("it takes http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must not hold a user or a password".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        if !self.allows_host(host) {
            return Err(format!("the operator does not allow the host `{host}`"));
        }
        // An address that is no name is never resolved.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        match literal {
            Ok(address) if !self.allows(address) => Err(format!("the address {address} is not a public one")),
            _ => Ok(()),
        }
    }

    fn allows_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.hosts.iter().any(|allowed| match allowed.strip_prefix("*.") {
            Some(parent) => host
                .strip_suffix(parent)
                .is_some_and(|below| below.ends_with('.') && below.len() > 1),
            None => host == allowed,
        })
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.private == Private::Allowed || is_public(address)
    }
}

impl Resolve for Places {
    fn resolve(&self, name: Name) -> Resolving {
        let places = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|found| places.allows(found.ip())).collect();
            if allowed.is_empty() {
                let refused = format!("{} has no public address", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address can be reached from anywhere: what the registries of special addresses (IANA) leave, as RFC 6890
/// has them.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // This network; shared by carriers; assignments; 6to4 relays; benchmarks; reserved and broadcast.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(within) = address.to_ipv4_mapped() {
        return is_public_v4(within);
    }
    let [a, b, ..] = address.segments();
    // Of all there is, only 2000::/3 is given out; of that, not Teredo and its neighbours, documentation and 6to4,
    // which hold other addresses.
    let given_out = (0x2000..0x4000).contains(&a);
    given_out && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && a != 0x2002 && a != 0x3fff
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn places(hosts: &[&str]) -> Places {
        Places::new(&super::super::Settings {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Default::default()
        })
    }

    #[test]
    fn only_hosts_that_are_allowed_are_called() {
        let places = places(&["example.org", "*.example.net", "93.184.216.34"]);
        for good in [
            "https://example.org/hook?x=1",
            "http://EXAMPLE.org:8080",
            "https://example.org.",
            "https://a.example.net",
            "https://a.b.example.net",
            "http://93.184.216.34/",
            // The same, as a number.
            "http://1572395042/",
        ] {
            assert_eq!(places.check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://user@example.org",
            "https://user:password@example.org",
            "https://example.org@evil.org",
            "https://evil.org",
            "https://example.org.evil.org",
            "https://evilexample.net",
            "https://example.net",
            "https://.example.net",
        ] {
            assert!(places.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_only_this_network_reaches_is_refused() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        let literal = places(&["127.0.0.1", "[::1]", "2130706433"]);
        for address in [
            "http://127.0.0.1/",
            "http://[::1]:9000/",
            "http://2130706433/",
            "http://0x7f.1/",
        ] {
            assert!(
                literal.check(address).unwrap_err().contains("not a public one"),
                "{address}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused() {
        let resolve =
            |places: Places| async move { places.resolve("localhost".parse().unwrap()).await.map(drop) };
        assert!(resolve(places(&["localhost"])).await.is_err());
        let mut private = places(&["localhost"]);
        private.private = Private::Allowed;
        assert!(resolve(private).await.is_ok());
    }
}
