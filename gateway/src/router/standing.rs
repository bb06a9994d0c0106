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
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Router;
use crate::backends::answer::{Answer, Standing};
use crate::mcp::changes::{Changes, Moment};
use crate::mcp::event_id::StreamId;
use crate::mcp::outbox::{Outbox, Reader};
use crate::mcp::replay::Replay;
use crate::mcp::request::McpRequest;
use crate::mcp::session::Session;
use crate::mcp::streams::{Caller, Place};
use crate::metrics::Metrics;
use crate::rejection::Rejection;

/// How long a stream may stand open.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Changes within so long are told as one.
const TOGETHER: Duration = Duration::from_millis(200);

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
    Outbox(Box<Lists>),
    /// An answer, from after this number on.
    Answer(Arc<Replay>, u64),
}

/// The outbox, and what puts changes of lists into it.
struct Lists {
    reader: Reader,
    outbox: Arc<Outbox>,
    /// A configuration is a change of its own: other policies, other names.
    since: Moment,
    feeds: Vec<watch::Receiver<Changes>>,
    heard: SelectAll<BoxStream<'static, ()>>,
    /// When the client is to be told.
    due: Option<Instant>,
}

/// A stream as far as it is counted.
struct Open {
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
            .ok_or(Rejection::InvalidRequest { detail: "Last-Event-ID is of no stream of this session" })
    });
    let last = last.transpose()?;
    let caller = Caller::new(request.principal.shared_name(), request.client_ip);
    let streams = router.sessions.streams();
    let place = streams.place(caller).ok_or(Rejection::Overloaded)?;
    let outbox = session.outbox();
    let (source, stream, position) = match last {
        Some((stream, number)) if stream.number != StreamId::STANDING => {
            let answer =
                outbox.kept(stream).ok_or(Rejection::InvalidRequest { detail: "the answer is not kept any more" })?;
            // The connection it began on may seem to hold still.
            answer.detach();
            (Source::Answer(answer, number), stream, number)
        }
        last => {
            let lists = Lists::new(router, request, outbox, last);
            let position = lists.reader.position();
            (Source::Outbox(Box::new(lists)), outbox.standing(), position)
        }
    };
    let pen = stream.pen(router.sessions.keys(), session);
    let primed = session.is_primed().then_some(position);
    let stream = Stream {
        source,
        _session: Arc::clone(session),
        over: Box::pin(over(streams.superseded(router.backends.since()), request.record.life(LIFETIME))),
        _open: Open::count(place, &router.metrics),
    };
    let messages = stream::unfold(stream, async |mut stream| Some((stream.next().await?, stream)));
    Ok(Answer::Standing(Box::new(Standing { messages: Box::pin(messages), pen, primed })))
}

/// Returns once a stream must end: another configuration is in force, it stood
/// for long enough, or the credential it was opened with has expired.
async fn over(superseded: impl Future<Output = ()>, life: Duration) {
    tokio::select! {
        () = superseded => {}
        () = tokio::time::sleep(life) => {}
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
            Self::Outbox(lists) => lists.next().await,
            Self::Answer(answer, after) => {
                let (number, message) = answer.after(*after).await?;
                *after = number;
                Some((number, message))
            }
        }
    }
}

// === impl Lists ===

impl Lists {
    fn new(router: &Router, request: &McpRequest, outbox: &Arc<Outbox>, last: Option<(StreamId, u64)>) -> Self {
        let feeds = router.backends.changes(request.server.as_deref());
        let heard = feeds
            .iter()
            .cloned()
            .map(|feed| stream::unfold(feed, async |mut feed| feed.changed().await.ok().map(|()| ((), feed))).boxed());
        Self {
            reader: outbox.read(last),
            outbox: Arc::clone(outbox),
            heard: stream::select_all(heard),
            since: router.backends.since(),
            feeds,
            // What changed while nobody listened is told at once.
            due: Some(Instant::now()),
        }
    }

    async fn next(&mut self) -> Option<(u64, Bytes)> {
        loop {
            let due = self.due;
            let told = async {
                sleep_until(due?).await;
                Some(())
            };
            tokio::select! {
                biased;
                Some(()) = told => {
                    let changes = self.feeds.iter().map(|feed| *feed.borrow());
                    let changes = changes.fold(Changes::all(self.since), Changes::latest);
                    // What there is no room for now is told a little later.
                    self.due = (!self.outbox.tell(changes)).then(|| Instant::now() + TOGETHER);
                }
                message = self.reader.next() => return message,
                Some(()) = self.heard.next() => {
                    self.due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
            }
        }
    }
}

// === impl Open ===

impl Open {
    fn count(place: Place, metrics: &Arc<Metrics>) -> Self {
        metrics.standing_stream(true);
        Self { _place: place, metrics: Arc::clone(metrics) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.standing_stream(false);
    }
}
