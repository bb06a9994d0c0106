//! Calls of stateless clients that wait for input: a server with a handshake
//! asks in the midst of a call, and the client answers with another request.
//!
//! The call stays open here meanwhile, in a task that keeps its connection
//! going, and its client gets `input_required` (MCP 2026-07-28, "Multi
//! round-trip requests"). Only the same caller gets it back, by making the same
//! request again with the state it was given, and only once.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Shared;
use super::asking::{PATIENCE, refusal};
use super::calling::Call;
use super::input_requests::{answer_to, asked, requests};
use super::relay::{Event, Relay};
use super::state::State;
use crate::backends::answer::{Answer, response};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Question;
use crate::mcp::json::{Members, push_string};
use crate::mcp::places::{Place, Places};
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::rejection::Rejection;

/// Calls that wait at one upstream.
const MAX_PARKED: usize = 256;
/// The same of one caller.
const MAX_OF_CALLER: usize = 16;
/// Questions of one call at a time.
const MAX_QUESTIONS: usize = 16;
/// How long more questions are waited for after one, so that they are asked
/// together.
const GATHER: Duration = Duration::from_millis(30);
/// Servers want a URL visited before they do anything (MCP 2025-11-25,
/// "Elicitation").
const URL_ELICITATION_REQUIRED: i64 = -32042;

/// The calls that wait at one upstream.
pub(super) struct Parked {
    calls: Mutex<HashMap<u128, Entry>>,
    places: Arc<Places>,
}

struct Entry {
    _place: Place,
    /// Of the request that is to be made again.
    digest: [u8; 32],
    hand_over: oneshot::Sender<oneshot::Sender<Waiting>>,
}

/// A call that waits.
struct Waiting {
    relay: Box<Relay>,
    /// What the server asked, in order; the client knows them by number.
    questions: Vec<UpstreamMessage>,
    /// How it ended, if it did not wait.
    ended: Option<Result<UpstreamMessage, Rejection>>,
}

/// Parks a call whose server asks something; what its client hears.
pub(super) async fn park(mut relay: Box<Relay>, question: UpstreamMessage) -> Result<Bytes, Rejection> {
    let mut questions = vec![question];
    let mut ended = None;
    let gathered = Instant::now() + GATHER;
    while ended.is_none() && questions.len() < MAX_QUESTIONS {
        match timeout_at(gathered, relay.next(gathered + PATIENCE)).await {
            Err(_) => break,
            Ok(Ok(Event::Question(question))) => questions.push(question),
            Ok(Ok(Event::Notice(_))) => {}
            Ok(Ok(Event::Response(response))) => ended = Some(Ok(response)),
            Ok(Err(rejection)) => ended = Some(Err(rejection)),
        }
    }
    wait(Waiting { relay, questions, ended })
}

/// Has a call wait for its client; what the client hears.
fn wait(waiting: Waiting) -> Result<Bytes, Rejection> {
    let (shared, call) = (Arc::clone(&waiting.relay.shared), &waiting.relay.call);
    let id = uuid::Uuid::new_v4().as_u128();
    let (hand_over, wanted) = oneshot::channel();
    let Some(place) = shared.parked.places.take(call.request.caller()) else {
        for question in &waiting.questions {
            refuse(&waiting.relay, question, "too many calls wait for input");
        }
        return Err(call.cannot("too many calls wait for input: answer those first"));
    };
    let entry = Entry { _place: place, digest: fingerprint(&call.request), hand_over };
    shared.parked.calls().insert(id, entry);
    let state = State::Parked(id).seal(&shared.keys, &call.request, &call.callee, &shared.settings.name);
    let asked = (1..).zip(waiting.questions.iter().map(asked));
    let message = input_required(&call.request, asked, &state);
    tokio::spawn(keep(id, waiting, wanted));
    Ok(message)
}

/// Keeps a call that waits, until its client is back or it has expired.
async fn keep(id: u128, mut waiting: Waiting, mut wanted: oneshot::Receiver<oneshot::Sender<Waiting>>) {
    let expires = Instant::now() + PATIENCE;
    loop {
        let is_open = waiting.ended.is_none();
        let client = tokio::select! {
            biased;
            client = &mut wanted => client,
            () = sleep_until(expires) => break,
            event = waiting.relay.next(expires + PATIENCE), if is_open => {
                match event {
                    Ok(Event::Question(question)) if waiting.questions.len() < MAX_QUESTIONS => {
                        waiting.questions.push(question);
                    }
                    Ok(Event::Question(question)) => refuse(&waiting.relay, &question, "too many questions"),
                    // Its client does not listen.
                    Ok(Event::Notice(_)) => {}
                    Ok(Event::Response(response)) => waiting.ended = Some(Ok(response)),
                    Err(rejection) => waiting.ended = Some(Err(rejection)),
                }
                continue;
            }
        };
        if let Ok(client) = client {
            // Who wanted it has gone meanwhile: then it ends here.
            let _ = client.send(waiting);
        }
        return;
    }
    waiting.relay.shared.parked.calls().remove(&id);
    for question in &waiting.questions {
        refuse(&waiting.relay, question, "the client did not answer in time");
    }
}

impl Shared {
    /// Goes on with a call that waits, with the answers that its client brings.
    pub(super) async fn go_on(self: Arc<Self>, id: u128, request: Box<McpRequest>) -> Result<Answer, Rejection> {
        let digest = fingerprint(&request);
        let hand_over = self.parked.take(id, &digest)?;
        let (sender, receiver) = oneshot::channel();
        let _ = hand_over.send(sender);
        let waiting = receiver.await.map_err(|_| Rejection::ParkedCallLost)?;
        let Waiting { mut relay, questions, ended } = waiting;
        let answers = request.params.input_responses().map(|span| request.text(span).to_owned()).unwrap_or_default();
        relay.call.take_up(request);
        let mut open = Vec::new();
        for (number, question) in (1..).zip(questions) {
            match answer_to(&answers, number) {
                Some(answer) => answer_server(&relay, &question, answer),
                None => open.push(question),
            }
        }
        match ended {
            Some(Ok(response)) => {
                let (message, code) = self.finish(&relay.call, &mut relay.sent, &response)?;
                Ok(Answer::Message { message, code })
            }
            Some(Err(rejection)) => Err(rejection),
            None if !open.is_empty() => {
                let message = wait(Waiting { relay, questions: open, ended: None })?;
                Ok(Answer::Message { message, code: None })
            }
            None => {
                let deadline = relay.call.deadline;
                relay.answer(deadline).await
            }
        }
    }
}

/// What a stateless client hears where a server wants URLs visited before it
/// does anything: the request is to be made anew once they were. `None` where
/// the response is something else.
pub(super) fn urls_wanted(shared: &Shared, call: &Call, message: &UpstreamMessage) -> Option<Result<Bytes, Rejection>> {
    let UpstreamKind::Error { code: URL_ELICITATION_REQUIRED, error, .. } = &message.kind else { return None };
    let request = &call.request;
    if request.era() != Era::Modern {
        return None;
    }
    if !request.abilities.can(Question::Url) {
        return Some(Err(Rejection::MissingCapability { required: Question::Url.required() }));
    }
    let error: Value = serde_json::from_str(message.text(*error)).ok()?;
    let wanted = error["data"]["elicitations"].as_array().filter(|wanted| !wanted.is_empty())?;
    let asked = wanted.iter().take(MAX_QUESTIONS).map(|params| {
        let mut params = params.clone();
        if let Some(params) = params.as_object_mut() {
            params.remove("elicitationId");
        }
        format!(r#"{{"method":"elicitation/create","params":{params}}}"#)
    });
    let state = State::Again.seal(&shared.keys, request, &call.callee, &shared.settings.name);
    Some(Ok(input_required(request, (1..).zip(asked), &state)))
}

/// The result that asks a stateless client for input.
fn input_required(request: &McpRequest, asked: impl Iterator<Item = (u64, String)>, state: &str) -> Bytes {
    let requests = requests(asked);
    let result = format!(r#"{{"resultType":"input_required","inputRequests":{requests},"requestState":{state}}}"#);
    response(request.id_text(), &result)
}

fn answer_server(relay: &Relay, question: &UpstreamMessage, answer: &str) {
    if let UpstreamKind::Request { id, .. } = &question.kind {
        relay.tell_server(response(question.text(*id), answer));
    }
}

fn refuse(relay: &Relay, question: &UpstreamMessage, why: &str) {
    if let UpstreamKind::Request { id, .. } = &question.kind {
        relay.tell_server(refusal(question.text(*id), why));
    }
}

/// What must be the same when a request is made again: its method, and its
/// parameters but for what a new round changes, whatever the order of keys.
fn fingerprint(request: &McpRequest) -> [u8; 32] {
    let params = request.params.span.map_or("{}", |span| request.text(span));
    let mut members: Vec<(String, Value)> = Vec::new();
    let _ = Members::for_each(params, |key, value| {
        if !matches!(key.as_ref(), "_meta" | "inputResponses" | "requestState") {
            members.push((key.into_owned(), serde_json::from_str(value).unwrap_or_default()));
        }
    });
    let mut canonical = String::from(request.operation.method());
    push_canonical(&mut canonical, &Value::Object(members.into_iter().collect()));
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
    out
}

/// Appends JSON whose objects have their keys in order.
fn push_canonical(out: &mut String, value: &Value) {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in members {
                push_string(out, key);
                out.push(':');
                push_canonical(out, value);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(array) => {
            out.push('[');
            for value in array {
                push_canonical(out, value);
                out.push(',');
            }
            out.push(']');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

// === impl Parked ===

impl Parked {
    /// Takes out the call that waits for the same request; nobody gets it
    /// twice.
    fn take(&self, id: u128, digest: &[u8; 32]) -> Result<oneshot::Sender<oneshot::Sender<Waiting>>, Rejection> {
        let mut calls = self.calls();
        match calls.get(&id) {
            Some(entry) if entry.digest != *digest => {
                Err(Rejection::invalid_params("this is not the request that waits for the input"))
            }
            _ => calls.remove(&id).map(|entry| entry.hand_over).ok_or(Rejection::ParkedCallLost),
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u128, Entry>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Parked {
    fn default() -> Self {
        Self { calls: Mutex::default(), places: Arc::new(Places::new(MAX_PARKED, MAX_OF_CALLER)) }
    }
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked").field("calls", &self.calls().len()).finish()
    }
}
