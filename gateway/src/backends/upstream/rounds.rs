//! Rounds with a stateless server for a client with a session: what the server
//! wants as the result of a request becomes questions to the client, and the
//! request is made again with the answers (MCP 2026-07-28, "Multi round-trip
//! requests").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::asking::PATIENCE;
use super::calling::{Attempted, Call, First};
use super::relay::{Event, Relay};
use super::translate::FollowUp;
use super::{Shared, polling};
use crate::backends::answer::AnswerStream;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::asks::Ask;
use crate::mcp::capabilities::Question;
use crate::mcp::json::Members;
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::version::Era;
use crate::rejection::Rejection;

/// Times that a client is asked during one call.
const MAX_ROUNDS: usize = 8;
/// Questions of one round.
const MAX_QUESTIONS: usize = 16;
/// Messages that wait for a client that does not read.
const MAX_WAITING: usize = 16;
/// How soon a server is asked again that wants nothing but time; doubled each
/// time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What a server wants to know before it goes on.
pub(super) struct Wanted {
    questions: Vec<Asked>,
    /// `requestState`, as JSON.
    state: Option<String>,
}

/// One question.
struct Asked {
    key: String,
    method: String,
    /// As JSON.
    params: Option<String>,
    question: Question,
}

/// Whether a response is not the end: it asks for something, or is a task to be
/// waited for.
pub(super) fn goes_on(shared: &Shared, request: &McpRequest, message: &UpstreamMessage) -> bool {
    must_ask(shared, request, message) || polling::must_wait(request, message)
}

/// Whether a response asks for what the client of `request` must be asked, or
/// what is answered here in its place.
fn must_ask(shared: &Shared, request: &McpRequest, message: &UpstreamMessage) -> bool {
    if !matches!(&message.kind, UpstreamKind::Result { members, .. } if members.wants_input) {
        return false;
    }
    match request.era() {
        Era::Legacy => request.session.is_some() && request.takes_stream || shared.settings.sampling.is_some(),
        // It is asked by itself, unless nothing is left to ask it.
        Era::Modern => {
            let answered = |asked: &Asked| shared.answerer(asked.question, request.abilities).is_some();
            shared.settings.sampling.is_some()
                && Wanted::read(message)
                    .is_some_and(|wanted| !wanted.questions.is_empty() && wanted.questions.iter().all(answered))
        }
    }
}

/// The rest of a call whose first answer is `message`: questions, and the
/// response in the end. Dropping it ends the call.
pub(super) fn stream(shared: Arc<Shared>, call: Call, message: UpstreamMessage) -> AnswerStream {
    let (sender, mut receiver) = mpsc::channel(MAX_WAITING);
    let driving = Driving(tokio::spawn(async move {
        let ended = drive(shared, call, message, &sender).await;
        // Nobody may be there to hear it.
        let _ = sender.send(ended).await;
    }));
    Box::pin(futures_util::stream::poll_fn(move |cx| {
        let _ = &driving;
        receiver.poll_recv(cx)
    }))
}

/// Ends with whoever holds it.
struct Driving(tokio::task::JoinHandle<()>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) type Sender = mpsc::Sender<Result<Bytes, Rejection>>;

/// Goes on until the response; returns it.
async fn drive(
    shared: Arc<Shared>,
    mut call: Call,
    mut message: UpstreamMessage,
    client: &Sender,
) -> Result<Bytes, Rejection> {
    let (mut rounds, mut pause) = (0, FIRST_PAUSE);
    let mut visited: HashMap<String, Value> = HashMap::new();
    let end = Instant::now() + PATIENCE * u32::try_from(MAX_ROUNDS).unwrap_or(1);
    loop {
        if polling::must_wait(&call.request, &message) {
            return polling::wait(&shared, &call, &message, client).await;
        }
        let wanted = Wanted::read(&message).ok_or_else(|| call.cannot("the server's questions are malformed"))?;
        let again = |asked: &Asked| asked.params.as_ref().and_then(|params| visited.get(params)).cloned();
        let answers: Vec<(String, Value)> =
            wanted.questions.iter().filter_map(|asked| Some((asked.key.clone(), again(asked)?))).collect();
        let answers = if answers.len() == wanted.questions.len() {
            // It wants time: to finish, or until a person has been at a URL.
            if Instant::now() + pause > end {
                return Err(call.cannot("the server asks again and again"));
            }
            call.waiting.for_it(None, sleep(pause)).await?;
            pause = (pause * 2).min(LAST_PAUSE);
            answers
        } else {
            rounds += 1;
            if rounds > MAX_ROUNDS {
                return Err(call.cannot("the server asks again and again"));
            }
            let asked = ask(&shared, &call, &wanted, client);
            let answers = call.waiting.for_it(None, asked).await??;
            for (asked, (_, answer)) in wanted.questions.iter().zip(&answers) {
                if let (Question::Url, Some(params)) = (asked.question, &asked.params) {
                    visited.insert(params.clone(), answer.clone());
                }
            }
            answers
        };
        call.follow_up = Some(FollowUp::Members(follow_up(answers, wanted.state.as_deref())));
        call.deadline = Instant::now() + shared.settings.timeout;
        let Attempted { first, mut sent } = shared.attempt_at_last(&call).await?;
        let mut relay = match first {
            First::Response { message: response, .. } if goes_on(&shared, &call.request, &response) => {
                sent.answered();
                message = response;
                continue;
            }
            First::Response { message: response, .. } => {
                return shared.finish(&call, &mut sent, &response).map(|(message, _)| message);
            }
            First::Stream { begun, messages } => Relay::new(Arc::clone(&shared), call, sent, begun, messages),
        };
        message = loop {
            let deadline = Instant::now() + shared.settings.timeout;
            match relay.next(deadline).await? {
                Event::Notice(notice) => {
                    client.send(Ok(notice)).await.map_err(|_| Rejection::Cancelled)?;
                }
                Event::Response(response) if goes_on(&shared, &relay.call.request, &response) => {
                    relay.sent.answered();
                    break response;
                }
                Event::Response(response) => {
                    return shared.finish(&relay.call, &mut relay.sent, &response).map(|(message, _)| message);
                }
                // Asked of stateless clients alone.
                Event::Question(_) => return Err(Rejection::Internal),
            }
        };
        call = relay.call;
    }
}

/// Puts the questions to the client, all at the same time, and waits for its
/// answers.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    call: &Call,
    wanted: &Wanted,
    client: &Sender,
) -> Result<Vec<(String, Value)>, Rejection> {
    let mut answers: Vec<BoxFuture<'_, Result<(String, Value), Rejection>>> = Vec::new();
    for asked in &wanted.questions {
        if let Some(model) = shared.answerer(asked.question, call.request.abilities) {
            answers.push(Box::pin(async move {
                let params = asked.params.as_deref().unwrap_or("{}");
                let sampled = shared.sample(model, &call.request, params).await;
                let made = sampled.map_err(|_| call.cannot("the model did not give what the server asked for"))?;
                Ok((asked.key.clone(), made))
            }));
            continue;
        }
        let session = call.request.session.as_ref().filter(|_| call.request.abilities.can(asked.question));
        let session = session.ok_or_else(|| call.cannot("the server asks for input this client cannot give"))?;
        let ask = session.asks.ask().ok_or_else(|| call.cannot("the client is asked too much at a time"))?;
        client.send(Ok(asked.message(&ask.id))).await.map_err(|_| Rejection::Cancelled)?;
        answers.push(Box::pin(async move { asked.answer(call, ask).await }));
    }
    join_all(answers).await.into_iter().collect()
}

/// What the request has besides, when it is made again: members for the
/// beginning of `params`.
fn follow_up(answers: Vec<(String, Value)>, state: Option<&str>) -> String {
    let mut members = String::new();
    if !answers.is_empty() {
        let answers: Map<String, Value> = answers.into_iter().collect();
        members = format!(r#""inputResponses":{},"#, Value::Object(answers));
    }
    if let Some(state) = state {
        members.push_str(&format!(r#""requestState":{state},"#));
    }
    members
}

// === impl Wanted ===

impl Wanted {
    fn read(message: &UpstreamMessage) -> Option<Self> {
        let UpstreamKind::Result { members, .. } = &message.kind else { return None };
        let state = members.request_state.map(|state| message.text(state).to_owned());
        Self::of(members.input_requests.map(|requests| message.text(requests)), state)
    }

    /// The same of `inputRequests` and `requestState`, as JSON.
    pub(super) fn of(requests: Option<&str>, state: Option<String>) -> Option<Self> {
        let mut questions = Vec::new();
        let mut well_formed = true;
        if let Some(requests) = requests {
            Members::for_each(requests, |key, value| match Asked::read(key.into_owned(), value) {
                Some(asked) if questions.len() < MAX_QUESTIONS => questions.push(asked),
                _ => well_formed = false,
            })
            .ok()?;
        }
        (well_formed && (!questions.is_empty() || state.is_some())).then_some(Self { questions, state })
    }
}

// === impl Asked ===

impl Asked {
    fn read(key: String, request: &str) -> Option<Self> {
        let (mut method, mut params) = (None, None);
        Members::for_each(request, |key, value| match key.as_ref() {
            "method" => method = string(value).map(std::borrow::Cow::into_owned),
            "params" => params = Some(value.to_owned()),
            _ => {}
        })
        .ok()?;
        let method = method?;
        let question = Question::of(&method, params.as_deref())?;
        Some(Self { key, method, params, question })
    }

    /// What the client answers, by the server's key.
    async fn answer(&self, call: &Call, mut ask: Ask) -> Result<(String, Value), Rejection> {
        let reply = timeout(PATIENCE, &mut ask.reply).await.ok().and_then(Result::ok);
        let reply = reply.ok_or_else(|| call.cannot("the client did not answer in time"))?;
        let answer = match (reply.result().map(serde_json::from_str), self.question) {
            (Ok(Ok(answer)), _) => answer,
            // There is an answer for who does not want to.
            (_, Question::Form | Question::Url) => json!({"action": "cancel"}),
            _ => return Err(call.cannot("the client did not give the input that the server asked for")),
        };
        Ok((self.key.clone(), answer))
    }

    /// The request to the client; `id` is JSON. Clients with a handshake tell
    /// visits to URLs apart by an id, which stateless servers do not make.
    fn message(&self, id: &str) -> Bytes {
        let mut params: Option<Value> = None;
        if self.question == Question::Url {
            params = self.params.as_deref().and_then(|params| serde_json::from_str(params).ok());
            if let Some(params) = &mut params {
                params["elicitationId"] = uuid::Uuid::new_v4().to_string().into();
            }
        }
        let params = params.map(|params| params.to_string()).or_else(|| self.params.clone());
        let params = params.map_or_else(String::new, |params| format!(r#","params":{params}"#));
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{}"{params}}}"#, self.method).into()
    }
}
