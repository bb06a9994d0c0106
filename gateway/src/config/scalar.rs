//! How each form of text in the configuration file is read.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use ipnet::IpNet;
use portcullis_policies::{AddressRange, AddressRangeError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::written::Scalar;
use crate::auth::Algorithm;
use crate::middleware::origin::WebOrigin;

#[cfg(test)]
mod tests;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) u64);

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl Scalar for Duration {
    const FORMAT: &'static str = "duration";
    const DESCRIPTION: &'static str = "A length of time: 500ms, 30s, 5m or 1h.";
    const EXAMPLE: &'static str = "500ms";

    fn parse(text: &str) -> Result<Self, String> {
        let (count, unit) = split_number(text);
        let milliseconds = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        milliseconds
            .and_then(|unit| count.parse::<u64>().ok()?.checked_mul(unit))
            .map(Self::from_millis)
            .ok_or_else(|| format!("`{text}` is not a length of time: write 500ms, 30s, 5m or 1h"))
    }

    fn write(&self) -> String {
        let milliseconds = self.as_millis();
        match milliseconds {
            0 => "0s".to_owned(),
            n if n % 3_600_000 == 0 => format!("{}h", n / 3_600_000),
            n if n % 60_000 == 0 => format!("{}m", n / 60_000),
            n if n % 1_000 == 0 => format!("{}s", n / 1_000),
            n => format!("{n}ms"),
        }
    }
}

impl Scalar for ByteSize {
    const FORMAT: &'static str = "size";
    const DESCRIPTION: &'static str = "A size: 4MiB, 512KiB, 1MB, or a number of bytes.";
    const EXAMPLE: &'static str = "4MiB";
    const NUMBERS: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let (count, unit) = split_number(text);
        let bytes = match unit {
            "" | "B" => Some(1),
            "kB" | "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        bytes
            .and_then(|unit| count.parse::<u64>().ok()?.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size: write 4MiB, 512KiB, 1MB or a number of bytes"))
    }

    fn write(&self) -> String {
        match self.0 {
            0 => "0".to_owned(),
            n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
            n if n % (1 << 10) == 0 => format!("{}KiB", n >> 10),
            n => n.to_string(),
        }
    }
}

/// `30s` as `30` and `s`.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

impl Scalar for SocketAddr {
    const FORMAT: &'static str = "socket-address";
    const DESCRIPTION: &'static str =
        "An address and port to listen on: 127.0.0.1:8080, 0.0.0.0:8080 or \"[::]:8080\".";
    const EXAMPLE: &'static str = "127.0.0.1:0";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!("`{text}` is not an IP address with a port: write 127.0.0.1:8080, 0.0.0.0:8080 or \"[::]:8080\"")
        })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Scalar for IpNet {
    const FORMAT: &'static str = "cidr";
    const DESCRIPTION: &'static str = "An address such as 10.0.0.1 or a range such as 10.0.0.0/8.";
    const EXAMPLE: &'static str = "10.0.0.0/8";

    fn parse(text: &str) -> Result<Self, String> {
        // Policies say what an address range is.
        let range: AddressRange = text.parse().map_err(|error: AddressRangeError| error.to_string())?;
        range.to_string().parse().map_err(|error: ipnet::AddrParseError| error.to_string())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Scalar for Url {
    const FORMAT: &'static str = "url";
    const DESCRIPTION: &'static str = "An absolute URL: https://mcp.example.com/mcp.";
    const EXAMPLE: &'static str = "https://mcp.example.com/mcp";

    fn parse(text: &str) -> Result<Self, String> {
        let url =
            Self::parse(text).ok().filter(Self::has_host).ok_or("is not an absolute URL: write https://HOST/PATH")?;
        // The URL may hold a password: no message repeats it.
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL must not hold a name or password: say them under `auth` or `headers`".to_owned());
        }
        if url.fragment().is_some() {
            return Err("a URL here has no fragment: leave out what begins with `#`".to_owned());
        }
        Ok(url)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Scalar for WebOrigin {
    const FORMAT: &'static str = "origin";
    const DESCRIPTION: &'static str = "A web origin, without a path: https://console.example.com.";
    const EXAMPLE: &'static str = "https://console.example.com";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            let url = Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
            match url.and_then(|url| Self::of(&url).ok()) {
                Some(origin) => format!("an origin ends after its host and port: write {origin}"),
                None => "is not a web origin: write https://console.example.com".to_owned(),
            }
        })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Scalar for HeaderName {
    const FORMAT: &'static str = "header-name";
    const DESCRIPTION: &'static str = "The name of an HTTP header: X-API-Key.";
    const EXAMPLE: &'static str = "X-Example-Key";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not a header name: write letters, digits and `-`, as in X-API-Key"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Scalar for SystemTime {
    const FORMAT: &'static str = "date-time";
    const DESCRIPTION: &'static str = "A moment (RFC 3339): 2027-01-01T00:00:00Z.";
    const EXAMPLE: &'static str = "2127-01-01T00:00:00Z";

    fn parse(text: &str) -> Result<Self, String> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(Self::from)
            .map_err(|_| format!("`{text}` is not a moment: write 2027-01-01T00:00:00Z"))
    }

    fn write(&self) -> String {
        OffsetDateTime::from(*self).format(&Rfc3339).unwrap_or_default()
    }
}

impl Scalar for Sha256 {
    const FORMAT: &'static str = "sha256";
    const DESCRIPTION: &'static str = "A SHA-256 digest as 64 hexadecimal digits, as `portcullis keygen` prints it.";
    const EXAMPLE: &'static str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn parse(text: &str) -> Result<Self, String> {
        // What was written may be the key itself: no message repeats it.
        let wrong = || "is not a SHA-256 digest of 64 hexadecimal digits: `portcullis keygen` prints one".to_owned();
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }

    fn write(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Scalar for Algorithm {
    const FORMAT: &'static str = "jwt-algorithm";
    const DESCRIPTION: &'static str =
        "A signature algorithm with a public key: RS256, PS256, ES256, EdDSA and their longer kin.";
    const EXAMPLE: &'static str = "RS256";

    fn parse(text: &str) -> Result<Self, String> {
        let why = match text {
            _ if text.eq_ignore_ascii_case("none") => "would accept tokens that nobody signed",
            "HS256" | "HS384" | "HS512" => {
                "signs with the very key that checks it, so that a published key could forge tokens"
            }
            _ => "is not a signature algorithm of JSON Web Tokens",
        };
        text.parse().map_err(|_| {
            let known: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
            format!("`{text}` {why}: write one of {}", known.join(", "))
        })
    }

    fn write(&self) -> String {
        self.as_str().to_owned()
    }
}
