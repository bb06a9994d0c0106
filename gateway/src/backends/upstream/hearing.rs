//! Hearing what a server says of its own accord to the gateway, for all of its
//! clients: that lists changed, and resources that somebody wants to hear of.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::handshake::stateless_meta;
use super::link::Link;
use super::links::SessionKey;
use super::subscribing::Honoured;
use super::{Shared, asked};
use crate::backends::transport::{Messages, Outgoing, Questions, Reply, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::changes::Kind;
use crate::mcp::mirror;
use crate::mcp::request::ItemKind;
use crate::mcp::update::{self, Update};
use crate::mcp::version::Era;

/// How long fetching a whole list, or agreeing, may take in the background.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that offers no stream of changes is asked again after this.
const RETRY: Duration = Duration::from_secs(300);
/// A stream of changes that ended is opened again after this.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a stateless server may take to say what it tells of.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Resources that are subscribed to within so long are asked for together.
const TOGETHER: Duration = Duration::from_millis(20);
/// What a stateless server says first (MCP 2026-07-28, `subscriptions/listen`).
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// Runs until it is dropped.
pub(super) async fn hear(shared: &Shared) {
    let mut wanted = shared.subscribers.version();
    loop {
        let pause = match listen(shared, &mut wanted).await {
            Ok(messages) => {
                let opened = Instant::now();
                hear_all(shared, messages, &mut wanted).await;
                // What happened while nobody listened is not known, but a
                // stream that ends at once must not make us fetch in a loop.
                if opened.elapsed() > PAUSE {
                    look_again(shared).await;
                }
                PAUSE
            }
            Err(error) => {
                shared.honours(*wanted.borrow(), HashSet::new());
                if matches!(error, TransportError::Status(_) | TransportError::Garbage(_)) { RETRY } else { PAUSE }
            }
        };
        // Whether an unreachable one is back is found out elsewhere.
        tokio::select! {
            () = sleep(pause.max(shared.circuit.retry_after())) => {}
            Ok(()) = wanted.changed() => {}
        }
    }
}

/// Hears a stream to its end. Where what is wanted of a stateless server
/// changes, another takes its place before it is let go.
async fn hear_all(shared: &Shared, mut messages: Messages, wanted: &mut watch::Receiver<u64>) {
    loop {
        let changes = async {
            let is_stateless = shared.links.known().is_some_and(|link| link.era == Era::Modern);
            if !is_stateless || wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(TOGETHER).await;
        };
        tokio::select! {
            biased;
            message = messages.next() => {
                let Some(Ok(message)) = message else { return };
                take_in(shared, message).await;
            }
            () = changes => {
                let Ok(next) = listen(shared, wanted).await else { return };
                while let Some(Some(Ok(message))) = messages.next().now_or_never() {
                    take_in(shared, message).await;
                }
                messages = next;
            }
        }
    }
}

/// Looks at the lists that somebody has seen, and tells of those that changed
/// unheard. Streams end for many reasons: that one did is no change.
async fn look_again(shared: &Shared) {
    let kinds = [
        (ItemKind::Prompt, Kind::Prompts),
        (ItemKind::Resource, Kind::Resources),
        (ItemKind::Template, Kind::Resources),
    ];
    let lists = kinds.map(|(kind, told_as)| {
        let catalog = shared.catalogs.of(kind);
        (catalog.and_then(|catalog| Some((catalog, catalog.known()?))), told_as)
    });
    // That of tools is looked at by who keeps it.
    shared.catalogs.all_stale();
    for (list, kind) in lists {
        let Some((catalog, before)) = list else { continue };
        let now = catalog.fresh(&shared.links, Instant::now() + FETCH_TIMEOUT).await;
        if now.is_ok_and(|now| !now.is_same(&before)) {
            shared.catalogs.differs(kind);
        }
    }
}

/// Opens what a server speaks on of its own accord: the stream of one with a
/// handshake, `subscriptions/listen` of a stateless one, and a pipe in any case.
async fn listen(shared: &Shared, wanted: &mut watch::Receiver<u64>) -> Result<Messages, TransportError> {
    let version = *wanted.borrow_and_update();
    // That a server cannot be agreed with says nothing about its stream.
    let unknown = |error: TransportError| TransportError::Unreachable(error.cause());
    let link = shared.links.own(Instant::now() + FETCH_TIMEOUT).await.map_err(unknown)?;
    if link.era == Era::Modern && !shared.transport.is_pipe() {
        return subscribe(shared, &link, version).await;
    }
    if link.era == Era::Legacy {
        shared.renew(&shared.subscribers, &link).await;
    }
    let unaddressed = shared.transport.listen(link.headers()).await;
    if matches!(unaddressed, Err(TransportError::SessionLost)) {
        shared.links.forget(&SessionKey::Fresh, &link);
    }
    let unaddressed = unaddressed?;
    if link.era == Era::Legacy {
        return Ok(unaddressed);
    }
    match subscribe(shared, &link, version).await {
        Ok(subscribed) => Ok(both(unaddressed, subscribed)),
        // It offers none, or does not answer what it does not know.
        Err(TransportError::Status(_) | TransportError::Garbage(_) | TransportError::TimedOut) => {
            shared.honours(version, HashSet::new());
            Ok(unaddressed)
        }
        Err(error) => Err(error),
    }
}

/// Two streams as one, which ends with the first of them.
fn both(one: Messages, other: Messages) -> Messages {
    let ending = |messages: Messages| messages.map(Some).chain(stream::once(std::future::ready(None)));
    Box::pin(stream::select(ending(one), ending(other)).scan((), |(), message| std::future::ready(message)))
}

async fn subscribe(shared: &Shared, link: &Link, version: u64) -> Result<Messages, TransportError> {
    let id = shared.links.next_id();
    let mut filter = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
    let resources = shared.subscribers.resources();
    if !resources.is_empty() {
        filter["resourceSubscriptions"] = resources.iter().map(|uri| Value::from(&**uri)).collect();
    }
    let params = json!({"notifications": filter, "_meta": stateless_meta(Capabilities::NONE)});
    let mut headers = link.headers();
    headers.insert(mirror::METHOD, http::HeaderValue::from_static("subscriptions/listen"));
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params});
    let outgoing = Outgoing {
        body: body.to_string().into(),
        id,
        connection: link.connection,
        headers,
        deadline: Instant::now() + FETCH_TIMEOUT,
        questions: Questions::None,
    };
    let mut messages = match shared.transport.request(outgoing).await? {
        Reply::Stream { messages, .. } => messages,
        // An error: the server offers no such stream.
        Reply::Message { .. } | Reply::Refusal { .. } => return Err(TransportError::Status(405)),
    };
    let first = match timeout(ACKNOWLEDGE_TIMEOUT, messages.next()).await {
        Ok(Some(first)) => Some(first?),
        Ok(None) => return Err(TransportError::Disconnected("the stream ended".to_owned())),
        // It may say nothing before it has something to tell.
        Err(_) => None,
    };
    let honoured = first.as_ref().and_then(|first| acknowledged(first.clone()));
    let unread = if honoured.is_some() { None } else { first };
    shared.honours(version, honoured.unwrap_or_default());
    Ok(Box::pin(stream::iter(unread.map(Ok)).chain(messages)))
}

/// The resources of which a server says that it tells; `None` where it says
/// something else.
fn acknowledged(message: Bytes) -> Option<HashSet<String>> {
    let message = UpstreamMessage::scan(message).ok()?;
    let UpstreamKind::Notification { method, params: Some(params), .. } = &message.kind else { return None };
    let params: Value = (method == ACKNOWLEDGED).then(|| serde_json::from_str(message.text(*params)).ok())??;
    let resources = params["notifications"]["resourceSubscriptions"].as_array().into_iter().flatten();
    Some(resources.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Takes in a message that belongs to no call.
async fn take_in(shared: &Shared, message: Bytes) {
    let Ok(message) = UpstreamMessage::scan(message) else { return };
    match &message.kind {
        UpstreamKind::Notification { method, params, .. } => match params {
            Some(params) if method == update::METHOD => {
                Update::read(&message, *params).iter().for_each(|update| shared.subscribers.tell(update));
            }
            _ => {
                shared.catalogs.hear(method);
            }
        },
        UpstreamKind::Request { id, method, .. } => {
            let Some(link) = shared.links.known() else { return };
            // A server that does not get it asks again.
            let _ = shared.transport.notify(asked::answer(message.text(*id), method), link.headers()).await;
        }
        UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => {}
    }
}

// === impl Shared ===

impl Shared {
    /// Notes what the server tells of.
    fn honours(&self, version: u64, resources: HashSet<String>) {
        self.honoured.send_replace(Honoured { version, resources });
    }

    /// Takes in that a resource changed, as it was said in the midst of a call:
    /// to the client's own session, where that is listened to, or to all.
    pub(super) fn updated(&self, session: Option<u128>, update: &Update<'_>) {
        match session.and_then(|session| self.watches.known(session)) {
            Some(watch) => watch.subscribers.tell(update),
            None => self.subscribers.tell(update),
        }
    }
}
