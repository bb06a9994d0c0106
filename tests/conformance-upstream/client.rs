//! Asking the client: in a request of its own to a session, by an incomplete
//! answer to a call of 2026-07-28, or through a task. A tool asks the same way
//! in all three cases.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use rmcp::model::{
    ClientCapabilities, ErrorData, InputRequest, InputRequiredResult, InputResponses, RequestStateCodec, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext};
use rmcp::task_manager::{TaskContext, TaskExit};
use rmcp::{Peer, RoleServer};
use serde_json::{Value, json};

use crate::call::{internal, is_modern};
use crate::server::Server;

/// How long a person may think.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Answers by the name of their question.
pub(crate) type Answers = BTreeMap<String, Value>;

/// Whether the server's incomplete answers carry what it knows already. One
/// that does accepts further answers only with that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Memory {
    /// The client's answers stand for themselves.
    None,
    /// The answers so far travel in `requestState`, sealed.
    Sealed,
}

/// Why a tool comes to no result now.
pub(crate) enum Stop {
    /// The client has to answer first.
    Incomplete(Box<InputRequiredResult>),
    /// The client answered with an error.
    Declined(String),
    /// The call itself is wrong.
    Refused(ErrorData),
    /// The task was cancelled.
    Cancelled,
}

/// A client that can be asked.
pub(crate) enum Client {
    /// One with a session, which takes requests.
    Session(Peer<RoleServer>),
    /// One of 2026-07-28, which is told what to answer in its next attempt.
    Stateless { answers: Answers, state: Option<RequestStateCodec>, capabilities: Box<ClientCapabilities> },
    /// One that looks at a task now and then.
    Task(TaskContext),
}

// === impl Client ===

impl Client {
    /// The client of a request that may have come with answers.
    pub(crate) fn of(
        server: &Server,
        context: &RequestContext<RoleServer>,
        responses: Option<&InputResponses>,
        state: Option<&str>,
        memory: Memory,
    ) -> Result<Self, ErrorData> {
        if !is_modern(context) {
            return Ok(Self::Session(context.peer.clone()));
        }
        let codec = (memory == Memory::Sealed).then(|| server.shared.states.clone());
        let mut answers = match (&codec, state) {
            (Some(codec), Some(sealed)) => codec
                .open_json(sealed)
                .map_err(|_| ErrorData::invalid_params("requestState is not what this server gave", None))?,
            _ => Answers::new(),
        };
        if codec.is_none() || state.is_some() {
            let proper = responses.into_iter().flatten().filter(|(_, answer)| answer.is_object());
            answers.extend(proper.map(|(name, answer)| (name.clone(), answer.clone())));
        }
        let capabilities = context.client_capabilities().unwrap_or_default();
        Ok(Self::Stateless { answers, state: codec, capabilities: Box::new(capabilities) })
    }

    /// Asks all of these at once.
    pub(crate) async fn ask(&self, questions: &[(&str, Value)]) -> Result<Answers, Stop> {
        let questions = questions.iter().map(|(name, question)| {
            serde_json::from_value(question.clone()).map(|question| ((*name).to_owned(), question)).map_err(internal)
        });
        let questions: Vec<(String, InputRequest)> = questions.collect::<Result<_, _>>()?;
        match self {
            Self::Session(peer) => try_join_all(questions.into_iter().map(|each| request(peer, each))).await,
            Self::Task(task) => try_join_all(questions.into_iter().map(|each| wait(task, each))).await,
            Self::Stateless { answers, state, capabilities } => recall(questions, answers, state, capabilities),
        }
        .map(Answers::from_iter)
    }

    /// Asks one question; the answer's `content` is what it comes to.
    pub(crate) async fn ask_one(&self, name: &str, question: Value) -> Result<Value, Stop> {
        let mut answers = self.ask(&[(name, question)]).await?;
        Ok(answers.remove(name).map(|mut answer| answer["content"].take()).unwrap_or_default())
    }
}

async fn request(peer: &Peer<RoleServer>, (name, question): (String, InputRequest)) -> Result<(String, Value), Stop> {
    let request = match question {
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        other => return Err(internal(format!("no such question: {other:?}")).into()),
    };
    let declined = |error: rmcp::ServiceError| Stop::Declined(error.to_string());
    let options = PeerRequestOptions::with_timeout(ANSWER_WITHIN);
    let sent = peer.send_request_with_option(request, options).await.map_err(declined)?;
    let answer = sent.await_response().await.map_err(declined)?;
    Ok((name, serde_json::to_value(answer).map_err(internal)?))
}

async fn wait(task: &TaskContext, (name, question): (String, InputRequest)) -> Result<(String, Value), Stop> {
    let answer = task.request_input(&name, question).await?;
    Ok((name, answer))
}

/// What of this was answered before, or else the incomplete answer that asks for the rest.
fn recall(
    questions: Vec<(String, InputRequest)>,
    answers: &Answers,
    state: &Option<RequestStateCodec>,
    capabilities: &ClientCapabilities,
) -> Result<Vec<(String, Value)>, Stop> {
    let open: BTreeMap<_, _> = questions.iter().filter(|(name, _)| !answers.contains_key(name)).cloned().collect();
    if open.is_empty() {
        let answered = |(name, _): (String, InputRequest)| answers.get(&name).map(|answer| (name, answer.clone()));
        return Ok(questions.into_iter().filter_map(answered).collect());
    }
    for question in open.values() {
        require(capabilities, question)?;
    }
    let sealed = state.as_ref().map(|codec| codec.seal_json(answers)).transpose().map_err(internal)?;
    Err(Stop::Incomplete(Box::new(InputRequiredResult::new(Some(open), sealed))))
}

/// A server asks for nothing that the client did not declare (2026-07-28, MRTR).
fn require(capabilities: &ClientCapabilities, question: &InputRequest) -> Result<(), ErrorData> {
    let (declared, name) = match question {
        InputRequest::Elicitation(_) => (capabilities.elicitation.is_some(), "elicitation"),
        InputRequest::CreateMessage(_) => (capabilities.sampling.is_some(), "sampling"),
        _ => (capabilities.roots.is_some(), "roots"),
    };
    if declared {
        return Ok(());
    }
    let required = serde_json::from_value(json!({name: {}})).map_err(internal)?;
    Err(ErrorData::missing_required_client_capability(required))
}

// === impl Stop ===

impl From<ErrorData> for Stop {
    fn from(error: ErrorData) -> Self {
        Self::Refused(error)
    }
}

impl From<TaskExit> for Stop {
    fn from(exit: TaskExit) -> Self {
        match exit {
            TaskExit::Cancelled => Self::Cancelled,
            TaskExit::Error(error) => Self::Refused(error),
        }
    }
}
