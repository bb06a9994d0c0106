//! Where replicas reach each other.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use thiserror::Error;

/// How this process is one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// Where it listens for the others.
    pub listen: SocketAddr,
    /// Where they reach it.
    pub advertise: Advertised,
}

/// An address or a name, and a port unless that is the one listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// Text that names no place that could be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is not an address or a name, with or without a port")]
pub struct InvalidAddress;

// === impl Advertised ===

impl Advertised {
    /// The same as a listener on this address has; `None` if nobody can reach
    /// it by that.
    #[must_use]
    pub fn of_listener(listen: SocketAddr) -> Option<Self> {
        (!listen.ip().is_unspecified()).then(|| Self { host: Host::Address(listen.ip()), port: None })
    }

    /// `HOST:PORT`, the port being `bound` where none is named.
    #[must_use]
    pub fn at(&self, bound: u16) -> Arc<str> {
        format!("{}:{}", self.host, self.port.unwrap_or(bound)).into()
    }

    /// The name in TLS, and the host and port to connect to.
    pub(super) fn target(&self) -> Option<(ServerName<'static>, String, u16)> {
        let (name, host) = match &self.host {
            Host::Address(address) => (ServerName::IpAddress((*address).into()), address.to_string()),
            Host::Name(name) => (ServerName::try_from(name.clone()).ok()?, name.clone()),
        };
        Some((name, host, self.port?))
    }
}

impl FromStr for Advertised {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::new(Host::Address(address), None);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(InvalidAddress)?;
                let host: Ipv6Addr = host.parse().map_err(|_| InvalidAddress)?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(InvalidAddress)?) };
                (Host::Address(host.into()), port)
            }
            None => {
                let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                let named = || Host::Name(host.to_owned());
                (host.parse().map_or_else(|_| named(), Host::Address), port)
            }
        };
        Self::new(host, port)
    }
}

impl Advertised {
    fn new(host: Host, port: Option<&str>) -> Result<Self, InvalidAddress> {
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or(InvalidAddress)).transpose()?;
        let is_reachable = match &host {
            Host::Address(address) => !address.is_unspecified(),
            Host::Name(name) => ServerName::try_from(name.as_str()).is_ok(),
        };
        if is_reachable { Ok(Self { host, port }) } else { Err(InvalidAddress) }
    }
}

// === impl Host ===

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_in_every_way_and_the_port_is_that_of_the_listener_unless_named() {
        for (text, full) in [
            ("10.1.2.3", "10.1.2.3:7443"),
            ("10.1.2.3:9", "10.1.2.3:9"),
            ("fd00::1", "[fd00::1]:7443"),
            ("[fd00::1]", "[fd00::1]:7443"),
            ("[fd00::1]:9", "[fd00::1]:9"),
            ("gateway-0.gateway.default.svc", "gateway-0.gateway.default.svc:7443"),
            ("gateway-0:9", "gateway-0:9"),
        ] {
            let advertised: Advertised = text.parse().unwrap();
            assert_eq!(*advertised.at(7443), *full, "{text}");
            // What is written into tokens is read again from them.
            assert_eq!(*full.parse::<Advertised>().unwrap().at(1), *full);
        }
        for text in
            ["", ":9", "a:b", "a:0", "a:70000", "0.0.0.0", "[::]:9", "[fd00::1", "[fd00::1]9", "a b", "a/b", "a:1:2"]
        {
            assert_eq!(text.parse::<Advertised>(), Err(InvalidAddress), "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_nothing_to_be_reached_by() {
        assert_eq!(Advertised::of_listener("0.0.0.0:7443".parse().unwrap()), None);
        let one = Advertised::of_listener("10.1.2.3:0".parse().unwrap()).unwrap();
        assert_eq!(*one.at(5), *"10.1.2.3:5");
        assert!(one.target().is_none(), "the port is not known yet");
        let (_, host, port) = "[fd00::1]:9".parse::<Advertised>().unwrap().target().unwrap();
        assert_eq!((host.as_str(), port), ("fd00::1", 9));
    }
}
