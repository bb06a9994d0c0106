//! Tasks of a stateless server for clients with a handshake that only call: the
//! call waits while the gateway asks how its task stands, and what came of the
//! task is the answer (the extension of 2026-07-28).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::calling::Call;
use super::handshake::{ask, stateless_meta};
use super::rounds::{self, Sender, Wanted};
use super::sent::Sent;
use crate::backends::answer::response;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::json::{Members, quoted};
use crate::mcp::meta;
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::task::{self, EXTENSION, Status};
use crate::mcp::version::Era;
use crate::rejection::Rejection;

/// Times that a client is asked during one task.
const MAX_ROUNDS: usize = 8;
/// A server that fails so often in a row to say how a task stands is given up.
const MAX_FAILURES: usize = 3;

/// What a server said of a task, as JSON.
struct Standing(String);

/// Whether the client of a request waits for tasks by calling: it can be told
/// meanwhile, and be asked what the task asks.
pub(super) fn can_wait(request: &McpRequest) -> bool {
    let calls = matches!(request.operation, Operation::CallTool { .. });
    calls && request.era() == Era::Legacy && request.takes_stream && request.session.is_some()
}

/// Whether a response is a task that is to be waited for.
pub(super) fn must_wait(request: &McpRequest, message: &UpstreamMessage) -> bool {
    let UpstreamKind::Result { members, .. } = &message.kind else { return false };
    members.names_task && can_wait(request) && members.result_type.is_some_and(|kind| message.text(kind) == "\"task\"")
}

/// Waits for the task that `made` names; returns the response to the call. A
/// task that nobody waits for to the end is ended.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    call: &Call,
    made: &UpstreamMessage,
    client: &Sender,
) -> Result<Bytes, Rejection> {
    let UpstreamKind::Result { result, .. } = made.kind else { return Err(Rejection::Internal) };
    let task = Standing(made.text(result).to_owned());
    let id = task.text("taskId").map(Cow::into_owned).ok_or_else(|| call.cannot("the server's task has no id"))?;
    let outcome = follow(shared, call, &id, task, client).await;
    // That a client is gone is no cancellation: then the task goes on.
    if outcome.is_err() {
        shared.end_task(call, &id);
    }
    outcome
}

async fn follow(
    shared: &Arc<Shared>,
    call: &Call,
    id: &str,
    mut task: Standing,
    client: &Sender,
) -> Result<Bytes, Rejection> {
    let place = Arc::clone(&shared.waiting).try_acquire_owned().ok();
    let end = Instant::now() + shared.patience(place.is_some());
    let (mut rounds, mut failures, mut said) = (0, 0, Said::default());
    loop {
        call.waiting.for_it(None, sleep(task::pause(&task.0))).await?;
        if Instant::now() > end {
            return Err(call.cannot("the server's task takes too long"));
        }
        task = match shared.about_task(call, "tasks/get", json!({"taskId": id})).await {
            Ok(standing) => standing,
            Err(_) if failures + 1 < MAX_FAILURES => {
                failures += 1;
                continue;
            }
            Err(rejection) => return Err(rejection),
        };
        failures = 0;
        match Status::of(&task.0) {
            Some(Status::Working) => said.tell(call, &task, client).await?,
            Some(Status::InputRequired) => {
                rounds += 1;
                let wanted = task.member("inputRequests").and_then(|requests| Wanted::of(Some(requests), None));
                let wanted = wanted.filter(|_| rounds <= MAX_ROUNDS);
                let wanted = wanted.ok_or_else(|| call.cannot("the server's questions are too many or malformed"))?;
                let answers: Map<String, Value> =
                    rounds::ask(shared, call, &wanted, client).await?.into_iter().collect();
                shared.about_task(call, "tasks/update", json!({"taskId": id, "inputResponses": answers})).await?;
            }
            _ => return shared.ended(call, &task),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Asks the server something about a task in the name of the client.
    async fn about_task(&self, call: &Call, method: &'static str, mut params: Value) -> Result<Standing, Rejection> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut about = stateless_meta(self.answering(call.request.abilities));
        about[meta::CLIENT_CAPABILITIES]["extensions"] = json!({EXTENSION: {}});
        params["_meta"] = about;
        let asked = async {
            let link = self.links.own(deadline).await?;
            ask(&link, self.links.next_id(), method, params, deadline).await
        };
        let message = asked.await.map_err(|error| self.failed(&call.request, &error))?.message;
        match message.kind {
            UpstreamKind::Result { result, .. } => Ok(Standing(message.text(result).to_owned())),
            _ => Err(call.cannot("the server does not say how its task stands")),
        }
    }

    /// Tells the server that nobody waits for a task any more.
    fn end_task(self: &Arc<Self>, call: &Call, id: &str) {
        let (shared, deadline) = (Arc::clone(self), Instant::now() + self.settings.timeout);
        let mut params = json!({"taskId": id, "_meta": stateless_meta(self.answering(call.request.abilities))});
        params["_meta"][meta::CLIENT_CAPABILITIES]["extensions"] = json!({EXTENSION: {}});
        tokio::spawn(async move {
            let Ok(link) = shared.links.own(deadline).await else { return };
            // If it does not arrive, the task ends by itself in the end.
            let _ = ask(&link, shared.links.next_id(), "tasks/cancel", params, deadline).await;
        });
    }

    /// The response to the call whose task has ended.
    fn ended(&self, call: &Call, task: &Standing) -> Result<Bytes, Rejection> {
        let message = match (task.member("result"), task.member("error")) {
            (Some(result), _) => response("0", result),
            (None, Some(error)) => format!(r#"{{"jsonrpc":"2.0","id":0,"error":{error}}}"#).into(),
            (None, None) => return Err(call.cannot("the server's task was cancelled")),
        };
        let message = UpstreamMessage::scan(message).map_err(|_| call.cannot("the server's task ended in nothing"))?;
        let link = self.links.known().ok_or_else(|| call.cannot("the server has gone"))?;
        let mut sent = Sent::begin(&link, &call.request, 0, false);
        self.finish(call, &mut sent, &message).map(|(message, _)| message)
    }
}

/// What the client was told of a task.
#[derive(Default)]
struct Said {
    times: u64,
    last: String,
}

// === impl Said ===

impl Said {
    /// Reports what the server says of its task, where that is new and the
    /// client wants to hear of progress.
    async fn tell(&mut self, call: &Call, task: &Standing, client: &Sender) -> Result<(), Rejection> {
        let (Some(token), Some(says)) = (call.request.params.meta.progress_token, task.text("statusMessage")) else {
            return Ok(());
        };
        if *says == *self.last {
            return Ok(());
        }
        self.times += 1;
        self.last = says.into_owned();
        let message = quoted(&self.last);
        let notice = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{},"progress":{},"message":{message}}}}}"#,
            call.request.text(token),
            self.times
        );
        client.send(Ok(notice.into())).await.map_err(|_| Rejection::Cancelled)
    }
}

// === impl Standing ===

impl Standing {
    fn member(&self, name: &str) -> Option<&str> {
        Members::get(&self.0, name)
    }

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        string(self.member(name)?)
    }
}
