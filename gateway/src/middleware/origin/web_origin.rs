//! The origin of a web page: scheme, host and port (RFC 6454).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// An origin, normalised: the host in lower case, the port even where it is
/// the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// The text is not `scheme://host` or `scheme://host:port`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an origin: expected scheme://host or scheme://host:port and nothing after it")]
pub struct InvalidOrigin;

/// Whether a host names this machine and cannot be made to name another.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>()
        .map_or_else(|_| bare.eq_ignore_ascii_case("localhost"), |address| address.to_canonical().is_loopback())
}

// === impl WebOrigin ===

impl WebOrigin {
    /// The origin of a URL, whatever its path.
    ///
    /// # Errors
    ///
    /// When the URL has no host.
    pub fn of(url: &Url) -> Result<Self, InvalidOrigin> {
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidOrigin)?;
        Ok(Self {
            scheme: url.scheme().to_owned(),
            // Only the hosts of web schemes come in lower case.
            host: host.to_ascii_lowercase(),
            port: url.port_or_known_default(),
        })
    }

    pub(super) fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }

    pub(super) fn has_host(&self, host: &str) -> bool {
        self.host.eq_ignore_ascii_case(host)
    }
}

impl FromStr for WebOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let url = Url::parse(text).map_err(|_| InvalidOrigin)?;
        let after_scheme = text.split_once("://").ok_or(InvalidOrigin)?.1;
        if after_scheme.trim_end_matches('/').contains(['/', '?', '#', '@', '\\']) {
            return Err(InvalidOrigin);
        }
        Self::of(&url)
    }
}

/// As browsers write it (RFC 6454 §6.1), so without the scheme's own port.
impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.scheme.as_str(), self.port) {
            (_, None) | ("http" | "ws", Some(80)) | ("https" | "wss", Some(443)) => Ok(()),
            (_, Some(port)) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<WebOrigin, InvalidOrigin> {
        text.parse()
    }

    #[test]
    fn case_and_default_port_make_no_difference() {
        assert_eq!(origin("HTTPS://Console.Example.com"), origin("https://console.example.com:443"));
        assert_eq!(origin("vscode-webview://ABC"), origin("vscode-webview://abc"));
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (text, written) in [
            ("https://console.example.com", "https://console.example.com"),
            ("https://Console.example.com:443", "https://console.example.com"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://a.example:80", "https://a.example:80"),
            ("vscode-webview://abc", "vscode-webview://abc"),
        ] {
            assert_eq!(origin(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn scheme_host_and_port_all_count() {
        let base = origin("https://a.example").unwrap();
        for other in ["http://a.example", "https://b.example", "https://a.example:8443", "https://a.example.evil.test"]
        {
            assert_ne!(origin(other).unwrap(), base, "{other}");
        }
    }

    #[test]
    fn what_is_no_origin_does_not_parse() {
        for text in [
            "null",
            "",
            "*",
            "a.example",
            "https://a.example/path",
            "https://u@a.example",
            "https://",
            "https:a",
            "https://a.example#x",
        ] {
            assert_eq!(origin(text), Err(InvalidOrigin), "{text:?}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["localhost.evil.test", "127.0.0.1.nip.io", "10.0.0.1", "0.0.0.0", ""] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
