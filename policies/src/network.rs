//! From where.

use ipnet::{IpNet, Ipv4Net};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

/// Addresses let in and addresses kept out.
///
/// A deny wins. With no allow, all that is not denied may come in. An IPv4
/// address mapped into IPv6 (`::ffff:10.0.0.1`, RFC 4291 §2.5.5.2) is the IPv4
/// address it stands for, on either side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    allow: Vec<AddressRange>,
    deny: Vec<AddressRange>,
}

/// One address, or a range in CIDR notation (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange(IpNet);

/// Why a text is no [`AddressRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRangeError {
    /// Neither an address nor CIDR.
    #[error("{0:?} is not an address or range: write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32")]
    Malformed(String),
    /// An address within the range stands where its first one belongs.
    #[error("{written} has bits set beyond its prefix: write {meant} for the range")]
    HostBits {
        /// As written.
        written: String,
        /// The range that it lies in.
        meant: IpNet,
    },
}

// === impl Network ===

impl Network {
    /// Lets in `allow`, or everybody if that is empty, without `deny`.
    pub fn new(allow: impl IntoIterator<Item = AddressRange>, deny: impl IntoIterator<Item = AddressRange>) -> Self {
        Self { allow: allow.into_iter().collect(), deny: deny.into_iter().collect() }
    }

    /// Whether `address` may come in.
    pub fn admits(&self, address: IpAddr) -> bool {
        let within = |ranges: &[AddressRange]| ranges.iter().any(|range| range.contains(address));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }

    /// Whether every address is kept out.
    pub(crate) fn admits_nobody(&self) -> bool {
        let denied = |range: &AddressRange| self.deny.iter().any(|deny| deny.0.contains(&range.0));
        !self.allow.is_empty() && self.allow.iter().all(denied)
    }
}

// === impl AddressRange ===

impl AddressRange {
    /// Whether `address` lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let range: IpNet = text.parse().map_err(|_| AddressRangeError::Malformed(text.to_owned()))?;
        if range != range.trunc() {
            return Err(AddressRangeError::HostBits { written: text.to_owned(), meant: range.trunc() });
        }
        Ok(Self(canonical(range)))
    }
}

/// A range inside the IPv4-mapped block as the IPv4 range it stands for.
fn canonical(range: IpNet) -> IpNet {
    const MAPPED_PREFIX: u8 = 96;
    let IpNet::V6(six) = range else { return range };
    match (six.addr().to_ipv4_mapped(), six.prefix_len()) {
        (Some(four), length @ MAPPED_PREFIX..) => {
            Ipv4Net::new(four, length - MAPPED_PREFIX).expect("an IPv6 prefix is at most 128").into()
        }
        _ => range,
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for AddressRange {
    fn schema_name() -> Cow<'static, str> {
        "AddressRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "cidr",
            "examples": ["10.0.0.0/8"],
            "description": "An address such as 10.0.0.1 or a range such as 10.0.0.0/8.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<AddressRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn deny_wins_and_no_allow_means_all() {
        for (allow, deny, address, admitted) in [
            (&[][..], &[][..], "192.0.2.1", true),
            (&["10.0.0.0/8"], &[], "10.1.2.3", true),
            (&["10.0.0.0/8"], &[], "11.1.2.3", false),
            (&["10.0.0.0/8"], &["10.9.9.9"], "10.9.9.9", false),
            (&[], &["10.9.9.9"], "10.9.9.8", true),
            (&["2001:db8::/32"], &[], "2001:db8::1", true),
            (&["2001:db8::/32"], &[], "10.0.0.1", false),
            (&["0.0.0.0/0"], &[], "2001:db8::1", false),
        ] {
            let network = Network::new(ranges(allow), ranges(deny));
            assert_eq!(network.admits(address.parse().unwrap()), admitted, "{address}");
        }
    }

    #[test]
    fn mapped_address_is_the_ipv4_address() {
        let plain = Network::new(ranges(&["10.0.0.0/8"]), ranges(&["10.9.9.9"]));
        assert!(plain.admits("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!plain.admits("::ffff:10.9.9.9".parse().unwrap()));
        let mapped = Network::new(ranges(&["::ffff:10.0.0.0/104"]), []);
        assert!(mapped.admits("10.0.0.1".parse().unwrap()));
        assert!(!mapped.admits("11.0.0.1".parse().unwrap()));
    }

    #[test]
    fn malformed_range_says_what_to_write() {
        let error = |text: &str| text.parse::<AddressRange>().unwrap_err().to_string();
        assert_eq!(error("10.0.0.1/8"), "10.0.0.1/8 has bits set beyond its prefix: write 10.0.0.0/8 for the range");
        for text in ["", "10.0.0.0/33", "10.0.0", "localhost"] {
            assert!(error(text).contains("is not an address or range"), "{text}");
        }
    }
}
