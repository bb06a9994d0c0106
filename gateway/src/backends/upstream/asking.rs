//! Questions of a server in the midst of a call, put to a client with a
//! session: each goes out on the stream of the call's answer, and what the
//! client posts goes back under the server's own id.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::link::Link;
use super::tasks::related;
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::asks::{Reply, Said};
use crate::mcp::request::McpRequest;
use crate::mcp::session::Session;
use crate::mcp::splice::{Edits, Span, Splice};

/// How long a person may think about a question.
pub(super) const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Questions of one call at a time.
const MAX_OPEN: usize = 16;

/// The questions of one call.
#[derive(Default)]
pub(super) struct Asking {
    /// What the server will hear.
    open: FuturesUnordered<BoxFuture<'static, Bytes>>,
    /// The pipe of the client whose questions they are, whichever of its calls
    /// they belong to: they outlive the one that they were laid before.
    pipe: Option<OfPipe>,
}

/// What the questions of a client's own pipe last as long as.
struct OfPipe {
    link: Weak<Link>,
    /// Changes when the pipe has ended.
    lost: watch::Receiver<u64>,
}

/// What became of a question.
struct Answered {
    /// The server's id, as JSON.
    id: String,
    /// `None` where the client did not answer in time.
    reply: Option<Reply>,
    /// A task's id for the client, and that at the server, as JSON.
    named: Option<(String, String)>,
}

// === impl Asking ===

impl Asking {
    /// Nothing asked yet, in a call over this link.
    pub(super) fn of(request: &McpRequest, link: &Arc<Link>) -> Box<Self> {
        let is_sessions = request.session.is_some() && link.is_alone();
        let pipe = is_sessions.then(|| OfPipe { link: Arc::downgrade(link), lost: link.transport.lost() });
        Box::new(Self { open: FuturesUnordered::new(), pipe })
    }

    /// Whether nothing is asked at present.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The question as the client hears it; `id` is the server's, and `named`
    /// how the client knows the task that it is about. `None` if the client is
    /// asked too much already.
    pub(super) fn put(
        &mut self,
        session: &Session,
        message: &UpstreamMessage,
        id: Span,
        named: &Edits,
    ) -> Option<Bytes> {
        let ask = session.asks.ask()?;
        let mut splice = Splice::default();
        splice.replace(id, ask.id.as_bytes());
        for (span, known) in named {
            splice.replace(*span, known.as_bytes());
        }
        let named = named.first().map(|(span, known)| (known.clone(), message.text(*span).to_owned()));
        let question = splice.apply(message.whole.as_bytes());
        let id = message.text(id).to_owned();
        let answered = async move {
            let mut ask = ask;
            let reply = timeout(PATIENCE, &mut ask.reply).await.ok().and_then(Result::ok);
            Answered { id, reply, named }.for_server()
        };
        self.push(answered);
        Some(question)
    }

    /// Whether no more is asked at present.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MAX_OPEN
    }

    /// Waits for an answer that somebody else gives.
    pub(super) fn await_other(&mut self, answer: impl Future<Output = Bytes> + Send + 'static) {
        self.push(answer);
    }

    fn push(&self, answer: impl Future<Output = Bytes> + Send + 'static) {
        // No other call over the pipe fails for want of patience meanwhile.
        let open = self.pipe.as_ref().and_then(|pipe| Some(pipe.link.upgrade()?.place.as_ref()?.open()));
        self.open.push(async move { (answer.await, open).0 }.boxed());
    }

    /// The next answer as the server must hear it; waits for ever where
    /// nothing is asked.
    pub(super) async fn answer(&mut self) -> Bytes {
        match self.open.next().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let (Some(OfPipe { link, mut lost }), false) = (self.pipe.take(), self.open.is_empty()) else { return };
        // Without a runtime the process is ending, and the pipe with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut open = std::mem::take(&mut self.open);
        runtime.spawn(async move {
            loop {
                let answer = tokio::select! {
                    biased;
                    answer = open.next() => answer,
                    _ = lost.changed() => return,
                };
                let (Some(answer), Some(link)) = (answer, link.upgrade()) else { return };
                link.reply(answer).await;
            }
        });
    }
}

// === impl Answered ===

impl Answered {
    fn for_server(self) -> Bytes {
        let Some(reply) = self.reply else { return refusal(&self.id, "the client did not answer in time") };
        let mut splice = Splice::default();
        splice.replace(reply.id, self.id.as_bytes());
        if let Some((known, own)) = &self.named
            && let Ok(result) = reply.result()
            && let Some(place) = related(result).filter(|id| id == known)
            && let Said::Result(within) = reply.said
        {
            splice.replace(Span::of(place, result).offset(within.start()), own.as_bytes());
        }
        splice.apply(reply.body.as_bytes())
    }
}

/// What a server hears whose question is not answered; `id` is JSON.
pub(super) fn refusal(id: &str, why: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"{why}"}}}}"#).into()
}
