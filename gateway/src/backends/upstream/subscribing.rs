//! Subscriptions to the resources of one upstream.
//!
//! A client with a session at a server that keeps sessions subscribes in its
//! own one there, which has a [`Watch`]. All others are heard for together:
//! by subscriptions of the gateway's own session or pipe, or by what its
//! `subscriptions/listen` names, each resource once however many want it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use super::link::Link;
use super::links::SessionKey;
use super::subscribers::Subscribers;
use super::watching::Watch;
use super::{Shared, handshake};
use crate::backends::Hear;
use crate::backends::transport::TransportError;
use crate::mcp::answer::UpstreamKind;
use crate::mcp::request::McpRequest;
use crate::mcp::subscriptions::Lease;
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailureKind};

/// How long a server may take to take in a subscription.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What could not be subscribed to again is tried again after this.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// Resources that are subscribed to again at a time.
const AT_ONCE: usize = 8;
/// By what servers say that they do not know a resource (MCP 2025-11-25 and
/// 2026-07-28, "Resources", error handling).
const UNKNOWN_RESOURCE: [i64; 2] = [-32002, -32602];

/// What a stateless server honours of what it was last asked to tell of.
#[derive(Debug, Default)]
pub(super) struct Honoured {
    /// The [version](Subscribers::version) of what it was asked.
    pub(super) version: u64,
    pub(super) resources: HashSet<String>,
    /// Whether it could not be asked the last time.
    pub(super) has_failed: bool,
}

/// One subscription; it ends when it is dropped.
struct Subscription {
    shared: Arc<Shared>,
    place: Place,
    uri: Arc<str>,
    number: u64,
}

/// Where a subscription is made.
#[derive(Clone)]
enum Place {
    /// In the session of one client.
    Own(Arc<Watch>),
    /// In the gateway's.
    Together,
    /// By listening, which is looked after elsewhere.
    Listened,
}

/// Why a server did not take in a subscription.
enum Refused {
    Failed(TransportError),
    Code(i64),
}

// === impl Shared ===

impl Shared {
    /// Has `hear` hear of a resource, by its URI at the server, until the lease
    /// is dropped.
    ///
    /// # Errors
    ///
    /// If the server does not take it in, or there are too many.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        request: &McpRequest,
        uri: Arc<str>,
        hear: Hear,
    ) -> Result<Lease, Rejection> {
        self.circuit.check().map_err(|_| Rejection::Upstream(self.failure_of(UpstreamFailureKind::Unreachable)))?;
        let deadline = request.deadline.min(Instant::now() + TIMEOUT);
        let link = self.links.own(deadline).await.map_err(|error| self.failed(request, &error))?;
        let place = match (link.era, &request.session) {
            (Era::Modern, _) => Place::Listened,
            (Era::Legacy, Some(session)) if link.footing.session.is_some() => {
                let abilities = self.answering(session.abilities);
                Place::Own(self.watches.of(self, session, abilities).ok_or(Rejection::Overloaded)?)
            }
            (Era::Legacy, _) => Place::Together,
        };
        let subscribers = place.subscribers(self);
        // By listening all is said at once.
        let turn = match place {
            Place::Listened => None,
            _ => Some(timeout_at(deadline, subscribers.turn(&uri)).await.map_err(|_| Rejection::Overloaded)?),
        };
        let number = subscribers.add(&uri, hear).ok_or(Rejection::Overloaded)?;
        // From here on it leaves by itself.
        let subscription =
            Subscription { shared: Arc::clone(self), place: place.clone(), uri: Arc::clone(&uri), number };
        let subscribed = match &place {
            Place::Listened => self.is_listened_to(&uri, deadline).await,
            place => self.say(place, "resources/subscribe", &uri, deadline).await,
        };
        drop(turn);
        if let Place::Own(watch) = &place {
            watch.ready(deadline).await;
        }
        match subscribed {
            Ok(()) => Ok(Box::new(subscription)),
            Err(Refused::Failed(error)) => Err(self.failed(request, &error)),
            Err(Refused::Code(code)) if UNKNOWN_RESOURCE.contains(&code) => {
                Err(Rejection::UnknownResource { uri: request.called_name().to_owned() })
            }
            Err(Refused::Code(_)) => {
                Err(Rejection::CannotBridge { detail: "the server takes no subscription to this", of_tool: false })
            }
        }
    }

    /// Waits until the server says of what it tells, where it was asked for it
    /// by listening.
    async fn is_listened_to(&self, uri: &str, deadline: Instant) -> Result<(), Refused> {
        let wanted = *self.subscribers.version().borrow();
        let mut honoured = self.honoured.subscribe();
        let honoured = timeout_at(deadline, honoured.wait_for(|honoured| honoured.version >= wanted)).await;
        let honoured = honoured.map_err(|_| Refused::Failed(TransportError::TimedOut))?;
        match honoured {
            Ok(honoured) if honoured.resources.contains(uri) => Ok(()),
            Ok(honoured) if !honoured.has_failed => Err(Refused::Code(0)),
            _ => Err(Refused::Failed(TransportError::Unreachable("it could not be asked to tell of it".to_owned()))),
        }
    }

    /// Says something of a resource to a server with a handshake; once more
    /// where it knows the session no longer.
    async fn say(&self, place: &Place, method: &'static str, uri: &str, deadline: Instant) -> Result<(), Refused> {
        let mut again = false;
        loop {
            let link = place.link(self, deadline).await.map_err(Refused::Failed)?;
            let refused = match self.say_under(&link, method, uri, deadline).await {
                Ok(()) => {
                    place.subscribers(self).made_under(&link);
                    return Ok(());
                }
                Err(refused) => refused,
            };
            let is_void = matches!(refused, Refused::Failed(TransportError::SessionLost | TransportError::Reconnected));
            if !is_void || std::mem::replace(&mut again, true) {
                return Err(refused);
            }
            self.links.forget(&place.key(), &link);
        }
    }

    async fn say_under(&self, link: &Link, method: &'static str, uri: &str, deadline: Instant) -> Result<(), Refused> {
        let asked = handshake::ask(link, self.links.next_id(), method, json!({"uri": uri}), deadline).await;
        let asked = asked.map_err(Refused::Failed)?;
        match asked.message.kind {
            UpstreamKind::Error { code, .. } if link.disowned_by(asked.status, code) => {
                Err(Refused::Failed(TransportError::SessionLost))
            }
            UpstreamKind::Error { code, .. } => Err(Refused::Code(code)),
            _ => Ok(()),
        }
    }

    /// Subscribes again, under another agreement, to all that is wanted, and
    /// keeps trying; never returns.
    pub(super) async fn keep_renewed(&self, subscribers: &Subscribers, link: &Arc<Link>) {
        while !subscribers.are_under(link) {
            if self.renew(subscribers, link).await {
                subscribers.are_now_under(link);
            } else {
                sleep(RENEWAL_PAUSE).await;
            }
        }
        std::future::pending().await
    }

    /// Says whether the server has heard of all of them.
    async fn renew(&self, subscribers: &Subscribers, link: &Arc<Link>) -> bool {
        let renewed = subscribers.resources().into_iter().map(|uri| -> BoxFuture<'_, bool> {
            Box::pin(async move {
                let _turn = subscribers.turn(&uri).await;
                if !subscribers.has(&uri) {
                    return true;
                }
                let said = self.say_under(link, "resources/subscribe", &uri, Instant::now() + TIMEOUT).await;
                // What it refuses it refuses again.
                !matches!(said, Err(Refused::Failed(_)))
            })
        });
        let renewed: Vec<_> = renewed.collect();
        let has_all = stream::iter(renewed).buffer_unordered(AT_ONCE).all(std::future::ready).await;
        if !has_all {
            tracing::warn!(upstream = %self.settings.name, "subscriptions could not be made again yet");
        }
        has_all
    }

    async fn unsubscribe(&self, place: &Place, uri: &str) {
        let subscribers = place.subscribers(self);
        let _turn = subscribers.turn(uri).await;
        let known = match place {
            Place::Own(watch) => self.links.kept(&watch.key),
            _ => self.links.known(),
        };
        // Without an agreement there is nothing to end.
        if let (false, Some(link)) = (subscribers.has(uri), known) {
            let _ = self.say_under(&link, "resources/unsubscribe", uri, Instant::now() + TIMEOUT).await;
        }
    }
}

// === impl Place ===

impl Place {
    fn subscribers<'a>(&'a self, shared: &'a Shared) -> &'a Subscribers {
        match self {
            Self::Own(watch) => &watch.subscribers,
            Self::Together | Self::Listened => &shared.subscribers,
        }
    }

    fn key(&self) -> SessionKey {
        match self {
            Self::Own(watch) => watch.key.clone(),
            Self::Together | Self::Listened => SessionKey::Fresh,
        }
    }

    async fn link(&self, shared: &Shared, deadline: Instant) -> Result<Arc<Link>, TransportError> {
        match self {
            Self::Own(watch) => watch.link(shared, deadline).await,
            Self::Together | Self::Listened => shared.links.own(deadline).await,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.place.subscribers(&self.shared).remove(&self.uri, self.number);
        // A successor of the same name may have subscribed in the same session.
        let is_said = !matches!(self.place, Place::Listened) && !self.shared.retired.load(Ordering::Relaxed);
        let is_over = is_said && !self.place.subscribers(&self.shared).has(&self.uri);
        if let (true, Ok(runtime)) = (is_over, Handle::try_current()) {
            let (shared, place, uri) = (Arc::clone(&self.shared), self.place.clone(), Arc::clone(&self.uri));
            runtime.spawn(async move { shared.unsubscribe(&place, &uri).await });
        }
    }
}
