//! What tasks of a server with a handshake ask stateless clients.
//!
//! Such a server asks while a request for the result of its task waits (MCP
//! 2025-11-25, "Tasks", input required). That request waits here; the client
//! sees the questions as a part of how its task stands, and answers them with
//! requests of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::asking::{PATIENCE, refusal};
use super::input_requests::{answer_to, asked, requests};
use super::link::Link;
use super::links::SessionKey;
use super::{Shared, asked};
use crate::backends::answer::response;
use crate::backends::transport::{Outgoing, Questions, Reply};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Question;
use crate::mcp::json::{Members, quoted};
use crate::mcp::places::Caller;
use crate::mcp::request::McpRequest;
use crate::mcp::splice::Span;
use crate::mcp::task::RELATED;

/// Tasks of one upstream that ask.
const MAX_INQUIRIES: usize = 256;
/// The same of one caller.
const MAX_OF_CALLER: usize = 16;
/// Questions of one task at a time.
const MAX_QUESTIONS: usize = 16;

/// A task: whose session at the upstream it is in, and its id there.
type Key = (SessionKey, Arc<str>);

/// The tasks of one upstream that ask.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    all: Mutex<HashMap<Key, Arc<Inquiry>>>,
    /// No two questions have one number, so that an answer is to one alone.
    numbers: AtomicU64,
}

/// What one task asks.
#[derive(Debug)]
pub(super) struct Inquiry {
    caller: Caller,
    own: Arc<str>,
    link: Arc<Link>,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was not answered yet, by number.
    open: Vec<(u64, UpstreamMessage)>,
    has_ended: bool,
}

// === impl Inquiries ===

impl Inquiries {
    /// What a task asks, which is heard from now on if it was not; `None` where
    /// too many are.
    pub(super) fn of(shared: &Arc<Shared>, key: Key, link: &Arc<Link>, request: &McpRequest) -> Option<Arc<Inquiry>> {
        let mut all = shared.inquiries.all();
        if let Some(known) = all.get(&key) {
            return Some(Arc::clone(known));
        }
        let caller = Caller::new(request.principal.shared_name(), request.client_ip);
        let of_caller = all.values().filter(|other| other.caller == caller).count();
        if all.len() >= MAX_INQUIRIES || of_caller >= MAX_OF_CALLER {
            return None;
        }
        let (own, link) = (Arc::clone(&key.1), Arc::clone(link));
        let inquiry = Arc::new(Inquiry { caller, own, link, state: watch::Sender::default() });
        all.insert(key.clone(), Arc::clone(&inquiry));
        let (shared, running, request) = (Arc::clone(shared), Arc::clone(&inquiry), Box::new(request.clone()));
        tokio::spawn(async move {
            running.hear(&shared, &request).await;
            shared.inquiries.all().remove(&key);
            running.end().await;
        });
        Some(inquiry)
    }

    /// What a task asks, where that is heard.
    pub(super) fn known(&self, key: &Key) -> Option<Arc<Inquiry>> {
        self.all().get(key).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Arc<Inquiry>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inquiry ===

impl Inquiry {
    /// `inputRequests`: what the task asks at present, once that is something;
    /// `None` where it is nothing by the deadline.
    pub(super) async fn questions(&self, deadline: Instant) -> Option<String> {
        let mut state = self.state.subscribe();
        let heard = timeout_at(deadline, state.wait_for(|state| state.has_ended || !state.open.is_empty())).await;
        let state = heard.ok()?.ok()?;
        let asked = state.open.iter().map(|(number, question)| (*number, asked(question)));
        (!state.open.is_empty()).then(|| requests(asked))
    }

    /// Has the server hear the answers among `inputResponses`.
    pub(super) async fn answer(&self, responses: &str) {
        let mut answered = Vec::new();
        self.state.send_modify(|state| {
            state.open.retain(|(number, question)| {
                let answer = answer_to(responses, *number);
                if let (Some(answer), UpstreamKind::Request { id, .. }) = (answer, &question.kind) {
                    answered.push(response(question.text(*id), &with_related(answer, &self.own)));
                }
                answer.is_none()
            });
        });
        for answer in answered {
            self.link.reply(answer).await;
        }
    }

    /// Hears the server until the task has ended, or asks nothing for long.
    async fn hear(&self, shared: &Arc<Shared>, request: &McpRequest) {
        let id = shared.links.next_id();
        let params = json!({"taskId": self.own});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tasks/result", "params": params});
        let outgoing = Outgoing {
            body: body.to_string().into(),
            id,
            connection: self.link.connection,
            headers: self.link.headers(),
            deadline: Instant::now() + PATIENCE,
            questions: Questions::Own,
        };
        let Ok(Reply::Stream { mut messages, .. }) = self.link.transport.request(outgoing).await else { return };
        while let Ok(Some(Ok(message))) = timeout(PATIENCE, messages.next()).await {
            let Ok(message) = UpstreamMessage::scan(message) else { return };
            match &message.kind {
                UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => return,
                UpstreamKind::Notification { method, .. } => {
                    shared.catalogs.hear(method);
                }
                UpstreamKind::Request { .. } => self.take(shared, request, message).await,
            }
        }
    }

    /// Takes in a question.
    async fn take(&self, shared: &Arc<Shared>, request: &McpRequest, question: UpstreamMessage) {
        let UpstreamKind::Request { id, method, params } = &question.kind else { return };
        let (id, params) = (question.text(*id), params.map(|params| question.text(params)));
        let kind = Question::of(method, params);
        if let Some(model) = kind.and_then(|kind| shared.answerer(kind, request.abilities)) {
            let (shared, link, model) = (Arc::clone(shared), Arc::clone(&self.link), Arc::clone(model));
            let (params, id) = (params.unwrap_or_default().to_owned(), id.to_owned());
            let sampled = shared.sampled(model, Box::new(request.clone()), params, id);
            tokio::spawn(async move { link.reply(sampled.await).await });
        } else if !kind.is_some_and(|kind| request.abilities.can(kind)) {
            self.link.reply(asked::answer(id, method)).await;
        } else if self.state.borrow().open.len() >= MAX_QUESTIONS {
            self.link.reply(refusal(id, "the client is asked too much at a time")).await;
        } else {
            let number = shared.inquiries.numbers.fetch_add(1, Ordering::Relaxed) + 1;
            self.state.send_modify(|state| state.open.push((number, question.clone())));
        }
    }

    /// Nothing more is heard: what is open is answered by nobody.
    async fn end(&self) {
        let mut open = Vec::new();
        self.state.send_modify(|state| (open, state.has_ended) = (std::mem::take(&mut state.open), true));
        for (_, question) in &open {
            if let UpstreamKind::Request { id, .. } = &question.kind {
                self.link.reply(refusal(question.text(*id), "the client did not answer in time")).await;
            }
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
