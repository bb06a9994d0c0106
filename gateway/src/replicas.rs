//! Processes that serve as one: what belongs to another is passed on to it.
//!
//! A session, an open stream and a call that waits are in the memory of one
//! replica, which the client's token names. A request that comes in elsewhere
//! is passed on there whole, over HTTP/2, once, and its answer passed back as
//! it arrives. Both ends show that they have the same keys
//! ([`identity`]), and who passes a request on says who sent it ([`Vouched`]).
//! Where a replica cannot be reached its sessions are served by whoever is
//! asked: nothing that may have been processed is sent again.

mod address;
mod identity;
mod peer;
mod vouched;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use quick_cache::sync::Cache;
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use self::address::{Advertised, InvalidAddress, ReplicaSettings};
pub use self::identity::{IdentityError, server_config};
pub use self::vouched::{Unvouched, Vouched};

use self::peer::{Arriving, Peer};
use crate::body::Body;
use crate::metrics::{Metrics, PassedOn};
use crate::record::CallRecord;
use crate::seal::KeyRing;

/// Other replicas that are remembered. Those that were not needed for longest
/// are forgotten first.
const MAX_PEERS: usize = 256;
/// Streams that stand open at other replicas.
const MAX_STANDING: usize = 4_096;
/// How long an answer may take to begin. The replica that serves a request
/// keeps all deadlines; this is beyond the longest of them, the hour that the
/// end of a task is waited for.
const MAX_WAIT: Duration = Duration::from_secs(65 * 60);

/// The other replicas, as one of them sees them.
pub struct Replicas {
    own: Arc<str>,
    tls: Arc<ClientConfig>,
    peers: Cache<Arc<str>, Arc<Peer>>,
    standing: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A request to be passed on.
#[derive(Debug)]
pub struct Passed<'a> {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: PathAndQuery,
    /// Its headers, as they came.
    pub headers: &'a HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
    /// What is known of it, its sender above all.
    pub record: &'a CallRecord,
}

/// Why a request that was to be passed on has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnswered {
    /// It was surely not processed.
    Unreached,
    /// It may have been.
    Lost,
}

/// The place of a stream that stands open at another replica; dropping it gives
/// it back.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

// === impl Replicas ===

impl Replicas {
    /// A replica that the others reach at `own`, and which has `keys` in common
    /// with them.
    ///
    /// # Errors
    ///
    /// If TLS cannot be set up.
    pub fn new(own: Arc<str>, keys: &Arc<KeyRing>, metrics: Arc<Metrics>) -> Result<Self, IdentityError> {
        Ok(Self {
            own,
            tls: identity::client_config(keys)?,
            peers: Cache::new(MAX_PEERS),
            standing: Arc::new(Semaphore::new(MAX_STANDING)),
            metrics,
        })
    }

    /// Where the others reach this one.
    #[must_use]
    pub const fn own(&self) -> &Arc<str> {
        &self.own
    }

    /// Passes a request on to the replica at `home` and waits for the head of
    /// its answer.
    ///
    /// # Errors
    ///
    /// See [`NotAnswered`].
    pub async fn pass_on(&self, home: &Arc<str>, request: Passed<'_>) -> Result<Response<Body>, NotAnswered> {
        Ok(self.send(home, request).await?.map(|body| Body::arriving(body.map_err(Into::into))))
    }

    /// Makes a place for a stream that stands open; `None` if there are too many.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        Arc::clone(&self.standing).try_acquire_owned().map(|permit| Place { _permit: permit }).ok()
    }

    /// Passes on the request for a stream that stands open: it takes up no room
    /// among requests, and ends with `over`.
    ///
    /// # Errors
    ///
    /// See [`NotAnswered`].
    pub async fn pass_on_standing(
        &self,
        home: &Arc<str>,
        request: Passed<'_>,
        place: Place,
        over: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Response<Body>, NotAnswered> {
        Ok(self.send(home, request).await?.map(|body| {
            let over = Box::pin(async move {
                let _place = place;
                over.await;
            });
            let frames = BodyStream::new(body.map_err(Into::into));
            Body::standing(StreamBody::new(frames.take_until(over)))
        }))
    }

    async fn send(&self, home: &Arc<str>, request: Passed<'_>) -> Result<Response<Arriving>, NotAnswered> {
        let answered = match (self.peer(home), request.into_http(home)) {
            (Some(peer), Some(request)) => {
                timeout(MAX_WAIT, peer.send(request)).await.unwrap_or(Err(NotAnswered::Lost))
            }
            _ => Err(NotAnswered::Unreached),
        };
        self.metrics.passed_on(match &answered {
            Ok(_) => PassedOn::Answered,
            Err(NotAnswered::Unreached) => PassedOn::Unreached,
            Err(NotAnswered::Lost) => PassedOn::Lost,
        });
        answered
    }

    fn peer(&self, home: &Arc<str>) -> Option<Arc<Peer>> {
        let made = || Peer::at(home, Arc::clone(&self.tls)).map(Arc::new).ok_or(());
        self.peers.get_or_insert_with(home, made).ok()
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("own", &self.own).finish_non_exhaustive()
    }
}

// === impl Passed ===

impl Passed<'_> {
    /// The request as another replica gets it: without credentials, of which
    /// none should be left anyway, and with what was found out instead.
    fn into_http(self, home: &str) -> Option<Request<Body>> {
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(home).path_and_query(self.target).build().ok()?;
        let mut headers = self.headers.clone();
        for name in [
            AUTHORIZATION,
            PROXY_AUTHORIZATION,
            COOKIE,
            // Of the connection it came over (RFC 9113 §8.2.2).
            CONNECTION,
            CONTENT_LENGTH,
            EXPECT,
            HeaderName::from_static("keep-alive"),
            HeaderName::from_static("proxy-connection"),
            HOST,
            TE,
            TRANSFER_ENCODING,
            UPGRADE,
        ] {
            headers.remove(name);
        }
        Vouched::of(self.record)?.write(&mut headers, &self.record.request_id)?;
        let mut request = Request::new(Body::from(self.body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (self.method, uri, headers);
        Some(request)
    }
}

#[cfg(test)]
mod tests;
