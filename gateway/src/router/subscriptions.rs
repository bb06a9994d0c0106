//! Subscriptions of clients with a session, and how any client hears of a
//! resource by the name it knows.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};

use super::{Router, items};
use crate::backends::answer::Answer;
use crate::backends::{Hear, uri};
use crate::mcp::operation::{ResourceUri, Wanted};
use crate::mcp::request::McpRequest;
use crate::mcp::subscriptions::{Lease, Subscriptions};
use crate::mcp::update;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// Attempts to make subscriptions again after a reload.
const ATTEMPTS: u32 = 6;
/// Between the first two of them; then twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);
/// Resources that are subscribed to at a time.
const AT_ONCE: usize = 16;

/// Subscribes the session of a request to a resource.
///
/// # Errors
///
/// If it has no session or too many subscriptions, or the upstream refuses.
pub(super) async fn subscribe(router: &Router, request: &McpRequest, uri: &ResourceUri) -> Result<Answer, Rejection> {
    let session = request.session.as_ref();
    let session = session.ok_or(Rejection::InvalidRequest { detail: "a subscription needs a session" })?;
    let (subscriptions, known) = (session.subscriptions(), request.known(uri));
    if !subscriptions.has_room_for(known) {
        return Err(Rejection::Overloaded);
    }
    let lease = lease(router, request, subscriptions, uri, None).await?;
    subscriptions.hold(Arc::clone(known), router.backends.since(), lease).map_err(|_| Rejection::Overloaded)?;
    request.record.set_status(CallStatus::Success);
    Ok(Answer::result(request.id_text(), "{}"))
}

/// Ends a subscription; one that there is not has ended already.
pub(super) fn unsubscribe(request: &McpRequest, uri: &ResourceUri) -> Answer {
    if let Some(session) = &request.session {
        session.subscriptions().release(request.known(uri));
    }
    Answer::result(request.id_text(), "{}")
}

/// Makes again what a session subscribed to under an earlier configuration, as
/// far as its client may still have it. What an upstream cannot be asked for
/// now is tried again for a while.
pub(super) async fn renew_all(router: &Router, request: &McpRequest) {
    let Some(session) = &request.session else { return };
    let subscriptions = session.subscriptions();
    for attempt in 0..ATTEMPTS {
        let stale = subscriptions.made_before(router.backends.since());
        let renewed =
            stale.iter().map(|known| -> BoxFuture<'_, ()> { Box::pin(renew(router, request, subscriptions, known)) });
        let renewed: Vec<_> = renewed.collect();
        stream::iter(renewed).buffer_unordered(AT_ONCE).for_each(std::future::ready).await;
        if subscriptions.made_before(router.backends.since()).is_empty() {
            return;
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
    }
}

async fn renew(router: &Router, request: &McpRequest, subscriptions: &Arc<Subscriptions>, known: &Arc<str>) {
    let uri = uri::of(request.server.as_deref(), known);
    if !request.filter.shows(Wanted::Resource(&uri)) {
        return subscriptions.release(known);
    }
    match lease(router, request, subscriptions, &uri, None).await {
        Ok(lease) => {
            subscriptions.hold_again(known, router.backends.since(), lease);
            // Nobody listened for a while.
            subscriptions.updated(Arc::clone(known), update::plain(known, None));
        }
        Err(Rejection::UnknownResource { .. } | Rejection::CannotBridge { .. }) => subscriptions.release(known),
        // It is tried again.
        Err(_) => {}
    }
}

/// Subscribes to a resource at its upstream. What is heard of it waits in
/// `subscriptions`, as the client of the request knows it, for the stream of
/// the id (JSON) that a stateless client listens with.
///
/// # Errors
///
/// If there is no such resource, or the upstream refuses.
pub(super) async fn lease(
    router: &Router,
    request: &McpRequest,
    subscriptions: &Arc<Subscriptions>,
    uri: &ResourceUri,
    stream: Option<&str>,
) -> Result<Lease, Rejection> {
    let (backend, own) = items::resource(&router.backends, request, uri).await?;
    let hear = hear(request, backend.name(), subscriptions, stream);
    backend.subscribe(request, own, hear).await
}

/// Who hears keeps no one else alive: the subscription is held by what it tells.
fn hear(request: &McpRequest, upstream: &Arc<str>, told: &Arc<Subscriptions>, stream: Option<&str>) -> Hear {
    let (upstream, told) = (Arc::clone(upstream), Arc::downgrade(told));
    let (filter, knows_one) = (request.filter.clone(), request.server.is_some());
    let stream: Option<Box<str>> = stream.map(Box::from);
    Arc::new(move |update| {
        let Some(told) = Weak::upgrade(&told) else { return };
        // It may be a part of what was subscribed to, with a name of its own.
        let uri = uri::of_one(&upstream, &update.uri.as_str().into());
        if filter.shows(Wanted::Resource(&uri)) {
            let known = uri.known(knows_one);
            told.updated(Arc::clone(known), update.retold(known, stream.as_deref()));
        }
    })
}
