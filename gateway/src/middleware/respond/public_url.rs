//! What clients call us: the URL that our own paths are appended to.

use std::borrow::Cow;
use std::sync::Arc;

use http::Request;
use http::header::HOST;
use http::uri::Authority;
use url::Url;

/// What clients call us.
#[derive(Clone, Debug, Default)]
pub struct PublicUrl {
    /// Without a slash at its end.
    configured: Option<Arc<str>>,
    is_tls: bool,
}

/// By which name a request says it reached us: `Host`, in HTTP/2 `:authority`.
///
/// A copy: a header is a piece of the connection's read buffer, which would be
/// kept whole for as long as this is.
#[derive(Clone, Debug)]
pub struct Addressed(Option<Box<str>>);

// === impl PublicUrl ===

impl PublicUrl {
    /// What the configuration says, if anything; and whether the listener
    /// speaks TLS.
    #[must_use]
    pub fn new(configured: Option<&Url>, is_tls: bool) -> Self {
        Self { configured: configured.map(|url| url.as_str().trim_end_matches('/').into()), is_tls }
    }

    /// The URL, without a slash at its end; where none is configured, the
    /// origin by which the caller reached us.
    #[must_use]
    pub fn or(&self, addressed: &Addressed) -> Cow<'_, str> {
        match &self.configured {
            Some(url) => Cow::Borrowed(url),
            None => {
                let scheme = if self.is_tls { "https" } else { "http" };
                let name = addressed.0.as_deref().filter(|name| is_authority(name)).unwrap_or("localhost");
                Cow::Owned(format!("{scheme}://{name}"))
            }
        }
    }

    /// A path as we serve it: without that of the URL, which a proxy in front
    /// of us takes away.
    #[must_use]
    pub fn served<'a>(&self, path: &'a str) -> &'a str {
        let own = self.configured.as_deref().and_then(|url| url.split_once("://"));
        let own = own.and_then(|(_, rest)| rest.find('/').map(|start| &rest[start..])).unwrap_or_default();
        path.strip_prefix(own).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
    }
}

// === impl Addressed ===

impl Addressed {
    /// The names a request bears.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let name = host.or_else(|| request.uri().authority().map(Authority::as_str));
        Self(name.map(Box::from))
    }
}

/// Whether the text can stand in a quoted URL.
fn is_authority(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_tls_and_http2_the_authority_names_us() {
        let request = Request::builder().uri("https://gw.local/mcp").body(()).unwrap();
        assert_eq!(PublicUrl::new(None, true).or(&Addressed::of(&request)), "https://gw.local");
    }

    #[test]
    fn the_path_of_the_public_url_belongs_to_it() {
        let request = Addressed::of(&Request::new(()));
        for (url, base) in [
            ("https://mcp.example.com", "https://mcp.example.com"),
            ("https://mcp.example.com:443/", "https://mcp.example.com"),
            ("https://example.com/gateway/", "https://example.com/gateway"),
        ] {
            let url = PublicUrl::new(Some(&url.parse().unwrap()), false);
            assert_eq!(url.or(&request), base);
        }
        let url = PublicUrl::new(Some(&"https://example.com/gateway".parse().unwrap()), false);
        for (path, served) in
            [("/gateway/mcp", "/mcp"), ("/gateway", ""), ("/mcp", "/mcp"), ("/gateways/mcp", "/gateways/mcp")]
        {
            assert_eq!(url.served(path), served);
        }
        assert_eq!(PublicUrl::default().served("/mcp"), "/mcp");
    }
}
