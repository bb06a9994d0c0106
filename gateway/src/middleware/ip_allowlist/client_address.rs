//! Which address a request came from, proxies taken into account.
//!
//! Each proxy appends the address it was called from to `X-Forwarded-For`, so
//! the list is read from the right for as long as its entries are proxies we
//! trust; the first that is not is the client. What stands left of it anybody
//! could have written.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use thiserror::Error;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies in a row that are looked through.
const MAX_HOPS: usize = 32;

/// Why the header says nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum ForwardedError {
    #[error("an entry is not an address")]
    NotAnAddress,
    #[error("more than {MAX_HOPS} trusted proxies in a row")]
    TooManyHops,
}

/// The client's address; IPv4 inside IPv6 is given as IPv4 (RFC 4291 §2.5.5.2).
pub(super) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted_proxies: &[IpNet],
) -> Result<IpAddr, ForwardedError> {
    let is_trusted = |address: &IpAddr| trusted_proxies.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    if !is_trusted(&nearest) {
        return Ok(nearest);
    }
    // Several header lines are one list (RFC 9110 §5.3).
    let lines = headers.get_all(X_FORWARDED_FOR);
    let mut hops = 0;
    for line in lines.iter().rev() {
        let line = line.to_str().map_err(|_| ForwardedError::NotAnAddress)?;
        for entry in line.rsplit(',') {
            nearest = parse_entry(entry.trim()).ok_or(ForwardedError::NotAnAddress)?.to_canonical();
            if !is_trusted(&nearest) {
                return Ok(nearest);
            }
            hops += 1;
            if hops > MAX_HOPS {
                return Err(ForwardedError::TooManyHops);
            }
        }
    }
    // Proxies all the way: the call began at the outermost one.
    Ok(nearest)
}

/// An address, perhaps with brackets, perhaps with a port.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(with_port) = entry.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(peer: &str, lines: &[&str]) -> Result<String, ForwardedError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn a_peer_that_is_no_proxy_is_not_believed() {
        assert_eq!(found("192.0.2.1", &["203.0.113.9"]).unwrap(), "192.0.2.1");
    }

    #[test]
    fn the_rightmost_untrusted_entry_is_the_client() {
        assert_eq!(found("10.0.0.1", &["203.0.113.9"]).unwrap(), "203.0.113.9");
        assert_eq!(found("10.0.0.1", &["6.6.6.6, 203.0.113.9 ,10.1.1.1"]).unwrap(), "203.0.113.9");
        assert_eq!(found("10.0.0.1", &["garbage, 203.0.113.9"]).unwrap(), "203.0.113.9");
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(found("10.0.0.1", &["6.6.6.6", "203.0.113.9, 10.1.1.1", "10.2.2.2"]).unwrap(), "203.0.113.9");
    }

    #[test]
    fn proxies_all_the_way_give_the_outermost() {
        assert_eq!(found("10.0.0.1", &["10.3.3.3, 10.2.2.2"]).unwrap(), "10.3.3.3");
        assert_eq!(found("10.0.0.1", &[]).unwrap(), "10.0.0.1");
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        for (entry, address) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(found("fd00::1", &[entry]).unwrap(), address, "{entry}");
        }
    }

    #[test]
    fn a_mapped_peer_counts_as_its_ipv4_address() {
        assert_eq!(found("::ffff:10.0.0.1", &["203.0.113.9"]).unwrap(), "203.0.113.9");
    }

    #[test]
    fn an_entry_that_is_no_address_is_an_error() {
        for entry in ["", "unknown", "_hidden", "203.0.113", "203.0.113.9,", "[203.0.113.9]", "fe80::1%eth0"] {
            assert_eq!(found("10.0.0.1", &[entry]), Err(ForwardedError::NotAnAddress), "{entry:?}");
        }
    }

    #[test]
    fn hops_are_bounded() {
        let hops = |count: usize| vec!["10.0.0.2"; count].join(",");
        assert_eq!(found("10.0.0.1", &[&hops(MAX_HOPS)]).unwrap(), "10.0.0.2");
        assert_eq!(found("10.0.0.1", &[&hops(MAX_HOPS + 1)]), Err(ForwardedError::TooManyHops));
    }
}
