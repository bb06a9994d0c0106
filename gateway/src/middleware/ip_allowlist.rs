//! Finds out which address calls and refuses those that may not.
//!
//! Outside authentication, so that an address which is not allowed cannot try
//! credentials; inside `observe`, whose record learns the address. The health
//! paths are open to every address: whoever probes them is not configured here.

mod client_address;

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderMap, Request};
use ipnet::IpNet;
use tower_layer::Layer;
use tower_service::Service;
use tracing::debug;

use self::client_address::client_address;
use crate::admin::is_health_path;
use crate::listener::PeerAddress;
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// Who may call from where, and whose word counts about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Who may call; empty: everybody.
    pub allow: Vec<IpNet>,
    /// Who may not, even where `allow` names them.
    pub deny: Vec<IpNet>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Refuses addresses that are not allowed.
#[derive(Clone, Debug)]
pub struct IpAllowlistLayer {
    settings: Arc<NetworkSettings>,
}

/// See [`IpAllowlistLayer`].
#[derive(Clone, Debug)]
pub struct IpAllowlist<S> {
    settings: Arc<NetworkSettings>,
    inner: S,
}

// === impl NetworkSettings ===

impl NetworkSettings {
    /// Whether the address may call.
    fn allows(&self, address: IpAddr) -> bool {
        let among = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }

    /// The address that calls, if it is known and may.
    fn admit(&self, peer: Option<PeerAddress>, headers: &HeaderMap) -> (Option<IpAddr>, bool) {
        let Some(PeerAddress(peer)) = peer else { return (None, false) };
        match client_address(peer.ip(), headers, &self.trusted_proxies) {
            Ok(address) => (Some(address), self.allows(address)),
            Err(error) => {
                debug!(%peer, %error, "a trusted proxy sent an unusable X-Forwarded-For");
                (None, false)
            }
        }
    }
}

// === impl IpAllowlistLayer ===

impl IpAllowlistLayer {
    /// Enforces `settings`.
    #[must_use]
    pub const fn new(settings: Arc<NetworkSettings>) -> Self {
        Self { settings }
    }
}

impl<S> Layer<S> for IpAllowlistLayer {
    type Service = IpAllowlist<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IpAllowlist { settings: Arc::clone(&self.settings), inner }
    }
}

// === impl IpAllowlist ===

impl<S, B> Service<Request<B>> for IpAllowlist<S>
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
        let peer = request.extensions().get::<PeerAddress>().copied();
        let (address, allowed) = self.settings.admit(peer, request.headers());
        if let (Some(address), Some(record)) = (address, request.extensions().get::<Arc<CallRecord>>()) {
            // Set once: only this layer knows it.
            let _ = record.client_ip.set(address);
        }
        if allowed || is_health_path(request.uri().path()) {
            Either::Right(self.inner.call(request))
        } else {
            Either::Left(ready(Err(Rejection::AddressNotAllowed)))
        }
    }
}

#[cfg(test)]
mod tests;
