//! The stream that a client with a session leaves open: what is said to it
//! beside the answers to its requests, and the rest of an answer whose
//! connection broke.
//!
//! A stream is of the configuration it was opened under and ends with it: its
//! client comes again by itself, and is authenticated and looked at anew. What
//! was not sent yet waits in the session, as does what was sent last.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;

use super::lists::Lists;
use super::{Router, subscriptions};
use crate::backends::answer::{Answer, Standing};
use crate::backends::uri;
use crate::mcp::event_id::StreamId;
use crate::mcp::operation::Wanted;
use crate::mcp::outbox::{Outbox, Reader};
use crate::mcp::places::Place;
use crate::mcp::replay::Replay;
use crate::mcp::request::McpRequest;
use crate::mcp::session::Session;
use crate::mcp::subscriptions::Subscriptions;
use crate::metrics::Metrics;
use crate::rejection::Rejection;

/// How long a stream may stand open.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A stream that stands open.
struct Stream {
    source: Source,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// So that it is not forgotten while somebody listens.
    _session: Arc<Session>,
    _open: Open,
}

/// Where the messages of a stream come from.
enum Source {
    /// The session's outbox.
    Outbox(Box<OwnStream>),
    /// An answer, from after this number on.
    Answer(Arc<Replay>, u64),
}

/// The outbox, and what is put into it while it is read.
struct OwnStream {
    reader: Reader,
    outbox: Arc<Outbox>,
    lists: Lists,
    subscriptions: Arc<Subscriptions>,
    /// What its client may see, whatever it might when it subscribed.
    request: Box<McpRequest>,
}

/// A stream as far as it is counted.
pub(super) struct Open {
    _place: Place,
    metrics: Arc<Metrics>,
}

/// Opens the stream that a request asks for.
///
/// # Errors
///
/// If the caller has too many, or means one that is none of its session's or
/// not kept any more.
pub(super) fn open(router: &Router, request: &McpRequest, after: Option<&str>) -> Result<Answer, Rejection> {
    let session = request.session.as_ref().ok_or(Rejection::Internal)?;
    let last = after.map(|id| {
        StreamId::read(router.sessions.keys(), session, id)
            .ok_or(Rejection::UnknownEvent { detail: "Last-Event-ID is of no stream of this session" })
    });
    let last = last.transpose()?;
    let open = Open::of(router, request)?;
    let outbox = session.outbox();
    let (source, stream, position) = match last {
        Some((stream, number)) if stream.number != StreamId::STANDING => {
            let answer =
                outbox.kept(stream).ok_or(Rejection::UnknownEvent { detail: "the answer is not kept any more" })?;
            // The connection it began on may seem to hold still.
            answer.detach();
            (Source::Answer(answer, number), stream, number)
        }
        last => {
            let own = OwnStream {
                reader: outbox.read(last),
                outbox: Arc::clone(outbox),
                lists: Lists::new(router, request),
                subscriptions: Arc::clone(session.subscriptions()),
                request: Box::new(request.clone()),
            };
            hear(router, request, session);
            let position = own.reader.position();
            (Source::Outbox(Box::new(own)), outbox.standing(), position)
        }
    };
    let pen = stream.pen(router.sessions.keys(), session);
    let primed = session.is_primed().then_some(position);
    let stream = Stream { source, _session: Arc::clone(session), over: Box::pin(over(router, request)), _open: open };
    let messages = stream::unfold(stream, async |mut stream| Some((stream.next().await?, stream)));
    Ok(Answer::Standing(Box::new(Standing { messages: Box::pin(messages), pen: Some(pen), primed })))
}

/// Has the upstreams heard where the client has sessions, and what it
/// subscribed to under an earlier configuration subscribed to under this one.
fn hear(router: &Router, request: &McpRequest, session: &Arc<Session>) {
    let (router, request, session) = (router.clone(), request.clone(), Arc::clone(session));
    tokio::spawn(async move {
        let heard = router.backends.all().iter().map(|backend| backend.listened_to(&session));
        join_all(heard).await;
        subscriptions::renew_all(&router, &request).await;
    });
}

/// Returns once the stream of a request must end: another configuration is in
/// force, it stood for long enough, or the credential it was opened with has
/// expired.
pub(super) fn over(router: &Router, request: &McpRequest) -> impl Future<Output = ()> + use<> {
    let superseded = router.sessions.streams().superseded(router.backends.since());
    let life = request.record.life(LIFETIME);
    async move {
        tokio::select! {
            () = superseded => {}
            () = tokio::time::sleep(life) => {}
        }
    }
}

// === impl Stream ===

impl Stream {
    async fn next(&mut self) -> Option<(u64, Bytes)> {
        tokio::select! {
            biased;
            () = &mut self.over => None,
            message = self.source.next() => message,
        }
    }
}

// === impl Source ===

impl Source {
    async fn next(&mut self) -> Option<(u64, Bytes)> {
        match self {
            Self::Outbox(own) => own.next().await,
            Self::Answer(answer, after) => {
                let (number, message) = answer.after(*after).await?;
                *after = number;
                Some((number, message))
            }
        }
    }
}

// === impl OwnStream ===

impl OwnStream {
    async fn next(&mut self) -> Option<(u64, Bytes)> {
        let mut has_room = true;
        loop {
            tokio::select! {
                biased;
                changes = self.lists.changed() => {
                    if !self.outbox.tell(changes) {
                        self.lists.tell_again();
                    }
                }
                (uri, message) = self.subscriptions.next(), if has_room => {
                    let resource = uri::of(self.request.server.as_deref(), &uri);
                    if !self.request.filter.shows(Wanted::Resource(&resource)) {
                        self.subscriptions.told(&uri, &message);
                        continue;
                    }
                    // What there is no room for now is told once there is.
                    has_room = self.outbox.push(message.clone()).is_ok();
                    if has_room {
                        self.subscriptions.told(&uri, &message);
                    }
                }
                message = self.reader.next() => return message,
            }
        }
    }
}

// === impl Open ===

impl Open {
    /// A stream of the request's caller.
    ///
    /// # Errors
    ///
    /// If that has too many.
    pub(super) fn of(router: &Router, request: &McpRequest) -> Result<Self, Rejection> {
        let place = router.sessions.streams().places().take(request.caller()).ok_or(Rejection::Overloaded)?;
        router.metrics.standing_stream(true);
        Ok(Self { _place: place, metrics: Arc::clone(&router.metrics) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.standing_stream(false);
    }
}
