//! Looking after an upstream in the background: its tools are fetched before
//! anyone asks, and again when it says that they changed, when they expire
//! and when it comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use super::catalogs::listen_params;
use super::handshake::stateless_meta;
use super::link::Link;
use super::links::SessionKey;
use super::{Shared, asked, catalog};
use crate::backends::tool::ToolList;
use crate::backends::transport::{Messages, Outgoing, Questions, Reply, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::changes::Kind;
use crate::mcp::mirror;
use crate::mcp::request::ItemKind;
use crate::mcp::version::Era;

/// How long fetching the whole list may take in the background.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for more changes after one.
const CHANGE_PAUSE: Duration = Duration::from_millis(200);
/// How often idle sessions are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// A server that offers no stream of changes is asked again after this.
const LISTEN_RETRY: Duration = Duration::from_secs(300);
/// A stream of changes that ended is opened again after this.
const LISTEN_PAUSE: Duration = Duration::from_secs(5);

/// Runs until it is aborted.
pub(super) async fn tend(shared: Arc<Shared>) {
    tokio::join!(keep_list(&shared), notice_losses(&shared), hear_changes(&shared), sweep(&shared));
}

/// Fetches the list until that succeeds, then again whenever it went stale.
async fn keep_list(shared: &Shared) {
    let name = &shared.settings.name;
    let (mut is_up, mut last) = (false, None::<Arc<ToolList>>);
    loop {
        let deadline = Instant::now() + FETCH_TIMEOUT;
        let pause = match shared.catalogs.tools().fresh(&shared.links, deadline).await {
            Ok(list) => {
                if !is_up {
                    shared.catalogs.came_up();
                    tracing::info!(upstream = %name, tools = list.tools.len(), "the upstream is up");
                }
                // A server need not say so.
                if last.is_some_and(|last| !last.is_same(&list)) {
                    shared.catalogs.differs(Kind::Tools);
                }
                (is_up, last) = (true, Some(list));
                shared.circuit.succeeded();
                shared.up(true);
                catalog::BACKGROUND_REFRESH
            }
            Err(error) => {
                is_up = false;
                shared.up(false);
                tracing::warn!(upstream = %name, %error, "the upstream's tools cannot be fetched");
                shared.circuit.failed()
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            // Changes that come in a burst are one.
            () = shared.catalogs.tools().stale() => sleep(CHANGE_PAUSE).await,
        }
    }
}

/// What was agreed on ends with the connection it was agreed over.
async fn notice_losses(shared: &Shared) {
    let mut lost = shared.transport.lost();
    while lost.changed().await.is_ok() {
        shared.up(false);
        shared.links.forget_all();
        shared.catalogs.all_changed();
    }
}

/// Hears what the server says of its own accord.
async fn hear_changes(shared: &Shared) {
    loop {
        let pause = match listen(shared).await {
            Ok(mut messages) => {
                let opened = Instant::now();
                while let Some(Ok(message)) = messages.next().await {
                    hear(shared, message).await;
                }
                // What happened while nobody listened is not known, but a
                // stream that ends at once must not make us fetch in a loop.
                if opened.elapsed() > LISTEN_PAUSE {
                    look_again(shared).await;
                }
                LISTEN_PAUSE
            }
            Err(TransportError::Status(_) | TransportError::Garbage(_)) => LISTEN_RETRY,
            Err(_) => LISTEN_PAUSE,
        };
        // Whether an unreachable one is back is found out elsewhere.
        sleep(pause.max(shared.circuit.retry_after())).await;
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
async fn listen(shared: &Shared) -> Result<Messages, TransportError> {
    // That a server cannot be agreed with says nothing about its stream.
    let unknown = |error: TransportError| TransportError::Unreachable(error.cause());
    let link = shared.links.own(Instant::now() + FETCH_TIMEOUT).await.map_err(unknown)?;
    if link.era == Era::Modern && !shared.transport.is_pipe() {
        return subscribe(shared, &link).await;
    }
    let unaddressed = shared.transport.listen(link.headers()).await;
    if matches!(unaddressed, Err(TransportError::SessionLost)) {
        shared.links.forget(&SessionKey::Fresh, &link);
    }
    let unaddressed = unaddressed?;
    if link.era == Era::Legacy {
        return Ok(unaddressed);
    }
    match subscribe(shared, &link).await {
        Ok(subscribed) => Ok(both(unaddressed, subscribed)),
        // It offers none, or does not answer what it does not know.
        Err(TransportError::Status(_) | TransportError::Garbage(_) | TransportError::TimedOut) => Ok(unaddressed),
        Err(error) => Err(error),
    }
}

/// Two streams as one, which ends with the first of them.
fn both(one: Messages, other: Messages) -> Messages {
    let ending = |messages: Messages| messages.map(Some).chain(stream::once(std::future::ready(None)));
    Box::pin(stream::select(ending(one), ending(other)).scan((), |(), message| std::future::ready(message)))
}

async fn subscribe(shared: &Shared, link: &Link) -> Result<Messages, TransportError> {
    let id = shared.links.next_id();
    let mut params = listen_params();
    params["_meta"] = stateless_meta(Capabilities::NONE);
    let mut headers = link.headers();
    headers.insert(mirror::METHOD, http::HeaderValue::from_static("subscriptions/listen"));
    let body = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params});
    let outgoing = Outgoing {
        body: body.to_string().into(),
        id,
        connection: link.connection,
        headers,
        deadline: Instant::now() + FETCH_TIMEOUT,
        questions: Questions::None,
    };
    match shared.transport.request(outgoing).await? {
        Reply::Stream { messages, .. } => Ok(messages),
        // An error: the server offers no such stream.
        Reply::Message { .. } | Reply::Refusal { .. } => Err(TransportError::Status(405)),
    }
}

/// Takes in a message that belongs to no call.
async fn hear(shared: &Shared, message: Bytes) {
    let Ok(message) = UpstreamMessage::scan(message) else { return };
    match &message.kind {
        UpstreamKind::Notification { method, .. } => {
            shared.catalogs.hear(method);
        }
        UpstreamKind::Request { id, method, .. } => {
            let Some(link) = shared.links.known() else { return };
            // A server that does not get it asks again.
            let _ = shared.transport.notify(asked::answer(message.text(*id), method), link.headers()).await;
        }
        UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => {}
    }
}

async fn sweep(shared: &Shared) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        shared.links.sweep().await;
        shared.links.reprobe(Instant::now() + FETCH_TIMEOUT).await;
    }
}
