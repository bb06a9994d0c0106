//! What tasks of a server with a handshake ask stateless clients.
//!
//! Such a server asks while a request for the result of its task waits (MCP
//! 2025-11-25, "Tasks", input required). That request waits here; the client
//! sees the questions as a part of how its task stands, and answers them with
//! requests of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::asking::{Asking, PATIENCE, refusal};
use super::input_requests::{answer_to, asked, requests};
use super::link::Link;
use super::tasks::related;
use super::{Shared, asked, sent};
use crate::backends::answer::response;
use crate::backends::transport::{Outgoing, Questions, Reply, after};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::{Capabilities, Question};
use crate::mcp::json::{Members, quoted};
use crate::mcp::places::Places;
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::splice::Span;
use crate::mcp::task::{self, RELATED};

/// Tasks of one upstream that ask.
const MAX_INQUIRIES: usize = 256;
/// The same of one caller.
const MAX_OF_CALLER: usize = 16;
/// Questions of one task at a time.
const MAX_QUESTIONS: usize = 16;
/// Times that a request for a result is made which breaks off.
const MAX_ATTEMPTS: u32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// A task: what tells its session at the upstream from others, and its id there.
pub(super) type Name = (Option<u128>, Arc<str>);

/// The tasks of one upstream that ask.
#[derive(Debug)]
pub(super) struct Inquiries {
    all: Mutex<HashMap<Name, Arc<Inquiry>>>,
    places: Arc<Places>,
    /// No two questions have one number, so that an answer is to one alone.
    numbers: AtomicU64,
}

/// What one task asks.
#[derive(Debug)]
pub(super) struct Inquiry {
    own: Arc<str>,
    link: Arc<Link>,
    /// What its client can be asked.
    abilities: Capabilities,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Open>,
    has_asked: bool,
    has_ended: bool,
}

/// A question that was not answered yet.
#[derive(Clone, Debug)]
struct Open {
    number: u64,
    kind: Question,
    message: UpstreamMessage,
    expires: Instant,
}

/// What became of a request for a result.
enum Waited {
    /// It was answered.
    Answered,
    /// It was waited for long enough.
    Enough,
    Broken,
}

// === impl Inquiries ===

impl Inquiries {
    /// What a task asks, which is heard from now on if it was not; `None` where
    /// too many are.
    pub(super) fn of(
        shared: &Arc<Shared>,
        name: Name,
        link: &Arc<Link>,
        request: &McpRequest,
        abilities: Capabilities,
    ) -> Option<Arc<Inquiry>> {
        let mut all = shared.inquiries.all();
        if let Some(known) = all.get(&name) {
            return Some(Arc::clone(known));
        }
        let place = shared.inquiries.places.take(request.caller())?;
        let (own, link) = (Arc::clone(&name.1), Arc::clone(link));
        let inquiry = Arc::new(Inquiry { own, link, abilities, state: watch::Sender::default() });
        all.insert(name.clone(), Arc::clone(&inquiry));
        let (shared, running, request) = (Arc::clone(shared), Arc::clone(&inquiry), Box::new(request.clone()));
        tokio::spawn(async move {
            running.hear(&shared, &request).await;
            shared.inquiries.all().remove(&name);
            drop(place);
            running.end().await;
        });
        Some(inquiry)
    }

    /// What a task asks, where that is heard.
    pub(super) fn known(&self, name: &Name) -> Option<Arc<Inquiry>> {
        self.all().get(name).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Name, Arc<Inquiry>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Inquiries {
    fn default() -> Self {
        let places = Arc::new(Places::new(MAX_INQUIRIES, MAX_OF_CALLER));
        Self { all: Mutex::default(), places, numbers: AtomicU64::new(0) }
    }
}

#[cfg(test)]
impl Inquiries {
    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }
}

// === impl Inquiry ===

impl Inquiry {
    /// `inputRequests`: what the task asks at present of a client of these
    /// abilities, once that is something; `None` where it is nothing by the
    /// deadline.
    pub(super) async fn questions(&self, abilities: Capabilities, deadline: Instant) -> Option<String> {
        let can = |open: &&Open| abilities.can(open.kind);
        let mut state = self.state.subscribe();
        let heard =
            timeout_at(deadline, state.wait_for(|state| state.has_ended || state.open.iter().any(|open| can(&open))));
        let state = heard.await.ok()?.ok()?;
        let asked: Vec<_> = state.open.iter().filter(can).map(|open| (open.number, asked(&open.message))).collect();
        (!asked.is_empty()).then(|| requests(asked))
    }

    /// Has the server hear the answers among `inputResponses`, also where the
    /// client goes away meanwhile. What does not arrive can be answered again.
    pub(super) async fn answer(self: Arc<Self>, responses: &str) {
        let mut answered = Vec::new();
        self.state.send_modify(|state| {
            state.open.retain(|open| {
                let answer = answer_to(responses, open.number).and_then(|answer| Some((answer, open.id()?)));
                answered
                    .extend(answer.map(|(answer, id)| (open.clone(), response(id, &with_related(answer, &self.own)))));
                answer.is_none()
            });
        });
        let telling = tokio::spawn(async move {
            for (open, answer) in answered {
                if !self.link.reply(answer).await {
                    self.state.send_modify(|state| state.open.extend(Some(open).filter(|_| !state.has_ended)));
                }
            }
        });
        // It is told, whether or not that is waited for.
        let _ = telling.await;
    }

    /// Hears the server until the task has ended, or for as long as results are
    /// waited for.
    async fn hear(&self, shared: &Arc<Shared>, request: &McpRequest) {
        let end = Instant::now() + task::PATIENCE;
        for _ in 0..MAX_ATTEMPTS {
            let id = shared.links.next_id();
            match self.wait(shared, request, id, end).await {
                Waited::Answered => return,
                Waited::Enough => return sent::cancel(&self.link, id).await,
                Waited::Broken if shared.retired.load(Ordering::Relaxed) => return,
                // What is open may still be answered.
                Waited::Broken => sleep(PAUSE).await,
            }
        }
    }

    async fn wait(&self, shared: &Arc<Shared>, request: &McpRequest, id: u64, end: Instant) -> Waited {
        let params = json!({"taskId": self.own});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tasks/result", "params": params});
        let outgoing = Outgoing {
            body: body.to_string().into(),
            id,
            connection: self.link.connection,
            headers: self.link.headers(),
            footing: Arc::clone(&self.link.footing),
            deadline: end,
            // On a pipe that many share a question would be anybody's.
            questions: if self.link.is_alone() { Questions::Own } else { Questions::None },
        };
        let mut messages = match self.link.transport.request(outgoing).await {
            Ok(Reply::Stream { first, messages, .. }) => after(first, messages),
            Ok(Reply::Message { .. } | Reply::Refusal { .. }) => return Waited::Answered,
            Err(_) => return Waited::Broken,
        };
        let (mut asking, mut state) = (Asking::default(), self.state.subscribe());
        loop {
            let (expires, is_done) = self.next_end(end);
            // Beside a request that may be asked something, others on its pipe are not.
            if self.link.is_alone() && is_done && asking.is_empty() {
                return Waited::Enough;
            }
            tokio::select! {
                message = messages.next() => {
                    let Some(Ok(message)) = message else { return Waited::Broken };
                    let Ok(message) = UpstreamMessage::scan(message) else { return Waited::Broken };
                    match &message.kind {
                        UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => return Waited::Answered,
                        UpstreamKind::Notification { method, .. } => {
                            shared.catalogs.hear(method);
                        }
                        UpstreamKind::Request { .. } => self.take(shared, request, &mut asking, message).await,
                    }
                }
                answer = asking.answer() => {
                    self.link.reply(answer).await;
                }
                Ok(()) = state.changed() => {}
                () = sleep_until(expires) => {
                    if Instant::now() >= end {
                        return Waited::Enough;
                    }
                    self.expire().await;
                }
            }
        }
    }

    /// When the next question expires, or all is over; and whether all that was
    /// asked was answered.
    fn next_end(&self, end: Instant) -> (Instant, bool) {
        let state = self.state.borrow();
        let expires = state.open.iter().map(|open| open.expires).min().unwrap_or(end);
        (expires.min(end), state.has_asked && state.open.is_empty())
    }

    /// Takes in a question.
    async fn take(&self, shared: &Arc<Shared>, request: &McpRequest, asking: &mut Asking, message: UpstreamMessage) {
        let UpstreamKind::Request { id, method, params } = &message.kind else { return };
        let (id, params) = (message.text(*id), params.map(|params| message.text(params)));
        let kind = Question::of(method, params);
        let of = params.and_then(related).and_then(string);
        let is_anothers = of.map_or(self.link.is_alone(), |of| *of != *self.own);
        if is_anothers && kind.is_some() {
            self.link.reply(refusal(id, "it cannot be told which task asks")).await;
        } else if asking.is_full() || self.state.borrow().open.len() >= MAX_QUESTIONS {
            self.link.reply(refusal(id, "the client is asked too much at a time")).await;
        } else if let Some(model) = kind.and_then(|kind| shared.answerer(kind, self.abilities)) {
            let (shared, model, own) = (Arc::clone(shared), Arc::clone(model), Arc::clone(&self.own));
            let (params, id, request) =
                (params.unwrap_or_default().to_owned(), id.to_owned(), Box::new(request.clone()));
            let tagged = move |result: String| with_related(&result, &own);
            asking.await_other(shared.sampled(model, request, params, id, tagged));
        } else if let Some(kind) = kind.filter(|kind| self.abilities.can(*kind)) {
            let number = shared.inquiries.numbers.fetch_add(1, Ordering::Relaxed) + 1;
            let expires = Instant::now() + PATIENCE;
            self.state.send_modify(|state| {
                state.has_asked = true;
                state.open.push(Open { number, kind, message: message.clone(), expires });
            });
        } else {
            self.link.reply(asked::answer(id, method)).await;
        }
    }

    /// Refuses what was asked too long ago.
    async fn expire(&self) {
        let now = Instant::now();
        let mut expired = Vec::new();
        self.state.send_modify(|state| expired.extend(state.open.extract_if(.., |open| open.expires <= now)));
        self.refuse(expired).await;
    }

    /// Nothing more is heard: what is open is answered by nobody.
    async fn end(&self) {
        let mut open = Vec::new();
        self.state.send_modify(|state| (open, state.has_ended) = (std::mem::take(&mut state.open), true));
        self.refuse(open).await;
    }

    async fn refuse(&self, open: Vec<Open>) {
        for open in &open {
            if let Some(id) = open.id() {
                self.link.reply(refusal(id, "the client did not answer in time")).await;
            }
        }
    }
}

// === impl Open ===

impl Open {
    /// The server's own id, as JSON.
    fn id(&self) -> Option<&str> {
        match self.message.kind {
            UpstreamKind::Request { id, .. } => Some(self.message.text(id)),
            _ => None,
        }
    }
}

/// An answer that names the task it belongs to, as servers with a handshake
/// want it.
fn with_related(answer: &str, own: &str) -> String {
    let tag = format!(r#""{RELATED}":{{"taskId":{}}}"#, quoted(own));
    let meta = Members::get(answer, "_meta").filter(|meta| meta.starts_with('{'));
    let (object, tag) = match meta {
        Some(meta) => (meta, tag),
        None => (answer, format!(r#""_meta":{{{tag}}}"#)),
    };
    let at = Span::of(object, answer).start() + 1;
    let is_empty = object[1..].trim_ascii_start().starts_with('}');
    [&answer[..at], &tag, if is_empty { "" } else { "," }, &answer[at..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_of_which_task_it_is() {
        let tag = r#""io.modelcontextprotocol/related-task":{"taskId":"t"}"#;
        for (answer, told) in [
            ("{}", format!(r#"{{"_meta":{{{tag}}}}}"#)),
            (r#"{"action":"accept"}"#, format!(r#"{{"_meta":{{{tag}}},"action":"accept"}}"#)),
            (r#"{"_meta":{ },"a":1}"#, format!(r#"{{"_meta":{{{tag} }},"a":1}}"#)),
            (r#"{"_meta":{"x":1}}"#, format!(r#"{{"_meta":{{{tag},"x":1}}}}"#)),
        ] {
            assert_eq!(with_related(answer, "t"), told);
        }
    }
}
