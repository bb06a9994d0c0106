//! Keeps web pages of other sites from using a visitor's browser to call us.
//!
//! Outside authentication: a browser may attach credentials to a request that
//! a foreign page made. MCP asks for this check of every server (revision
//! 2025-11-25, Transports, Security Warning). A request without `Origin` is
//! from no web page and passes.
//!
//! A gateway on loopback has no other wall around it, so there `Host` must be
//! a loopback name as well: a page whose name was rebound to 127.0.0.1 sends
//! its own (DNS rebinding).

mod web_origin;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Request, Uri};
use tower_layer::Layer;
use tower_service::Service;

pub use self::web_origin::{InvalidOrigin, WebOrigin};

use self::web_origin::is_loopback_host;
use crate::rejection::Rejection;

/// Which web pages may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginSettings {
    /// Pages that may, besides our own.
    pub allowed: Vec<WebOrigin>,
    /// Our own origin, as clients write it.
    pub public: Option<WebOrigin>,
    /// Whether the listener is on loopback: then pages from this machine may
    /// call, and `Host` is checked.
    pub loopback: bool,
}

/// Refuses requests that a foreign web page made.
#[derive(Clone, Debug)]
pub struct OriginLayer {
    settings: Arc<OriginSettings>,
}

/// See [`OriginLayer`].
#[derive(Clone, Debug)]
pub struct Origin<S> {
    settings: Arc<OriginSettings>,
    inner: S,
}

// === impl OriginSettings ===

impl OriginSettings {
    fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
        if self.loopback && !self.is_meant(uri, headers) {
            Err(Rejection::HostNotAllowed)
        } else if !self.may_come_from(headers) {
            Err(Rejection::OriginNotAllowed)
        } else {
            Ok(())
        }
    }

    /// Whether every `Origin` given is an allowed one.
    fn may_come_from(&self, headers: &HeaderMap) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| {
            // `null`, a page that hides where it is from, does not parse either.
            let Some(origin) = origin.to_str().ok().and_then(|text| text.parse::<WebOrigin>().ok()) else {
                return false;
            };
            self.public.as_ref() == Some(&origin)
                || self.allowed.contains(&origin)
                || (self.loopback && origin.is_loopback())
        })
    }

    /// Whether the request names this machine, or our public name, as its
    /// target: in `Host`, in HTTP/2's `:authority`, and in both if both are there.
    fn is_meant(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let authority = uri.authority().map(|authority| Some(authority.host()));
        let hosts = headers.get_all(HOST).iter().map(|host| host.to_str().ok().map(without_port));
        let mut named = authority.into_iter().chain(hosts).peekable();
        named.peek().is_some() && named.all(|host| host.is_some_and(|host| self.is_our_name(host)))
    }

    fn is_our_name(&self, host: &str) -> bool {
        is_loopback_host(host) || self.public.as_ref().is_some_and(|public| public.has_host(host))
    }
}

/// `Host` without its port (RFC 9110 §7.2).
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

// === impl OriginLayer ===

impl OriginLayer {
    /// Enforces `settings`.
    #[must_use]
    pub const fn new(settings: Arc<OriginSettings>) -> Self {
        Self { settings }
    }
}

impl<S> Layer<S> for OriginLayer {
    type Service = Origin<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Origin { settings: Arc::clone(&self.settings), inner }
    }
}

// === impl Origin ===

impl<S, B> Service<Request<B>> for Origin<S>
where
    S: Service<Request<B>, Error = Rejection>,
{
    type Response = S::Response;
    type Error = Rejection;
    type Future = Either<Ready<Result<S::Response, Rejection>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.settings.admit(request.uri(), request.headers()) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(rejection) => Either::Left(ready(Err(rejection))),
        }
    }
}

#[cfg(test)]
mod tests;
