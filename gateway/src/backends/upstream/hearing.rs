//! Hearing what a server says of its own accord to the gateway, for all of its
//! clients: that lists changed, and resources that somebody wants to hear of.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::handshake::stateless_meta;
use super::link::Link;
use super::links::SessionKey;
use super::subscribing::Honoured;
use super::{Shared, asked, sent};
use crate::backends::transport::{Messages, Outgoing, Questions, Reply, TransportError, after};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::changes::Kind;
use crate::mcp::mirror;
use crate::mcp::operation::ItemKind;
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

/// What a server speaks on of its own accord.
struct Voice {
    link: Arc<Link>,
    /// The stream of one with a handshake, or all that a pipe brings.
    unaddressed: Option<Messages>,
    /// The answer to `subscriptions/listen`, and its id.
    subscribed: Option<(u64, Messages)>,
}

/// Runs until it is dropped.
pub(super) async fn hear(shared: &Shared) {
    let (mut wanted, mut was_heard) = (shared.subscribers.version(), false);
    loop {
        let version = *wanted.borrow_and_update();
        let pause = match listen(shared, version).await {
            Ok(voice) => {
                let opened = Instant::now();
                if std::mem::replace(&mut was_heard, true) {
                    shared.subscribers.tell_all();
                }
                hear_all(shared, voice, &mut wanted).await;
                // What happened while nobody listened is not known, but a
                // stream that ends at once must not make us fetch in a loop.
                if opened.elapsed() > PAUSE {
                    look_again(shared).await;
                }
                PAUSE
            }
            Err(error) => {
                shared.honoured.send_replace(Honoured { version, has_failed: true, ..Honoured::default() });
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

/// Hears a server until it falls silent. Where what is wanted of a stateless one
/// changes, it is asked anew before it is let go of what it was asked last.
async fn hear_all(shared: &Shared, mut voice: Voice, wanted: &mut watch::Receiver<u64>) {
    let link = Arc::clone(&voice.link);
    let renewed = async {
        match link.era {
            Era::Legacy => shared.keep_renewed(&shared.subscribers, &link).await,
            Era::Modern => std::future::pending().await,
        }
    };
    tokio::pin!(renewed);
    let mut due = None::<Instant>;
    loop {
        let asked_anew = async {
            sleep_until(due?).await;
            Some(())
        };
        tokio::select! {
            biased;
            Some(()) = asked_anew => {
                due = None;
                let version = *wanted.borrow_and_update();
                voice.ask_anew(shared, version).await;
            }
            Ok(()) = wanted.changed(), if link.era == Era::Modern && due.is_none() => {
                due = Some(Instant::now() + TOGETHER);
            }
            message = voice.next() => {
                let Some(Ok(message)) = message else { return };
                take_in(shared, message).await;
            }
            () = &mut renewed => {}
        }
    }
}

// === impl Voice ===

impl Voice {
    /// The next message; `None` once either stream has ended.
    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        async fn of(messages: Option<&mut Messages>) -> Option<Result<Bytes, TransportError>> {
            match messages {
                Some(messages) => messages.next().await,
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            message = of(self.unaddressed.as_mut()) => message,
            message = of(self.subscribed.as_mut().map(|(_, messages)| messages)) => message,
        }
    }

    /// Asks a stateless server for what is wanted now. Where it does not take
    /// that, what it was asked before stands.
    async fn ask_anew(&mut self, shared: &Shared, version: u64) {
        let Ok(next) = subscribe(shared, &self.link, version).await else {
            shared.honoured.send_modify(|honoured| (honoured.version, honoured.has_failed) = (version, true));
            return;
        };
        let Some((id, mut last)) = self.subscribed.replace(next) else { return };
        while let Some(Some(Ok(message))) = last.next().now_or_never() {
            take_in(shared, message).await;
        }
        if self.link.transport.is_pipe() {
            // Over HTTP the end of the stream says it (MCP 2026-07-28, "stdio").
            // If it does not arrive, what comes of it is dropped.
            sent::cancel(&self.link, id).await;
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
async fn listen(shared: &Shared, version: u64) -> Result<Voice, TransportError> {
    // That a server cannot be agreed with says nothing about its stream.
    let unknown = |error: TransportError| TransportError::Unreachable(error.cause());
    let link = shared.links.own(Instant::now() + FETCH_TIMEOUT).await.map_err(unknown)?;
    if link.era == Era::Modern && !shared.transport.is_pipe() {
        let subscribed = subscribe(shared, &link, version).await?;
        return Ok(Voice { link, unaddressed: None, subscribed: Some(subscribed) });
    }
    let unaddressed = Some(shared.links.listen(&SessionKey::Fresh, &link).await?);
    if link.era == Era::Legacy {
        return Ok(Voice { link, unaddressed, subscribed: None });
    }
    let subscribed = match subscribe(shared, &link, version).await {
        Ok(subscribed) => Some(subscribed),
        // It offers none, or does not answer what it does not know.
        Err(TransportError::Status(_) | TransportError::Garbage(_) | TransportError::TimedOut) => {
            shared.honoured.send_replace(Honoured { version, ..Honoured::default() });
            None
        }
        Err(error) => return Err(error),
    };
    Ok(Voice { link, unaddressed, subscribed })
}

async fn subscribe(shared: &Shared, link: &Link, version: u64) -> Result<(u64, Messages), TransportError> {
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
        footing: Arc::clone(&link.footing),
        deadline: Instant::now() + FETCH_TIMEOUT,
        questions: Questions::None,
    };
    let mut messages = match shared.transport.request(outgoing).await? {
        Reply::Stream { first, messages, .. } => after(first, messages),
        // An error: the server offers no such stream.
        Reply::Message { .. } | Reply::Refusal { .. } => return Err(TransportError::Status(405)),
    };
    let first = match timeout(ACKNOWLEDGE_TIMEOUT, messages.next()).await {
        Ok(Some(first)) => Some(first?),
        Ok(None) => return Err(TransportError::Disconnected("the stream ended".to_owned())),
        // It may say nothing before it has something to tell.
        Err(_) => None,
    };
    let honoured =
        first.clone().and_then(|first| UpstreamMessage::scan(first).ok()).and_then(|first| acknowledged(&first));
    let unread = if honoured.is_some() { None } else { first };
    let resources = honoured.unwrap_or_default();
    shared.honoured.send_replace(Honoured { version, resources, has_failed: false });
    Ok((id, Box::pin(stream::iter(unread.map(Ok)).chain(messages))))
}

/// The resources of which a server says that it tells; `None` where it says
/// something else.
fn acknowledged(message: &UpstreamMessage) -> Option<HashSet<String>> {
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
            // Later than was waited for.
            _ if method == ACKNOWLEDGED => {
                let resources = acknowledged(&message).unwrap_or_default();
                shared.honoured.send_modify(|honoured| honoured.resources = resources);
            }
            _ => {
                shared.catalogs.hear(method);
            }
        },
        UpstreamKind::Request { id, method, .. } => {
            let Some(link) = shared.links.known() else { return };
            link.reply(asked::answer(message.text(*id), method)).await;
        }
        UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => {}
    }
}

// === impl Shared ===

impl Shared {
    /// Takes in that a resource changed, as it was said in the midst of a call:
    /// to the client's own session, where that is listened to, or else to all
    /// where it was said to no one client's session.
    pub(super) fn updated(&self, session: Option<u128>, link: &Arc<Link>, update: &Update<'_>) {
        let is_common = || {
            let is_own = || self.links.known().is_some_and(|own| Arc::ptr_eq(&own, link));
            !link.is_alone() && (link.footing.session.is_none() || is_own())
        };
        match session.and_then(|session| self.watches.known(session)) {
            Some(watch) => watch.subscribers.tell(update),
            None if is_common() => self.subscribers.tell(update),
            None => {}
        }
    }
}
