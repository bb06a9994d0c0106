//! Tasks of a server with a handshake for stateless clients: these know the
//! tasks of the extension of 2026-07-28, the server those of the core of
//! 2025-11-25.
//!
//! The server makes them in the session that the client's principal has there.
//! How a task stands comes with what came of it, which the server tells apart,
//! and with what it [asks](super::inquiries).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::Shared;
use super::calling::Call;
use super::handshake::{Asked, ask};
use super::inquiries::{Inquiries, Name};
use super::link::Link;
use super::links::SessionKey;
use super::sent::Waiting;
use super::tasks::untagged;
use super::translate;
use crate::backends::answer::{Answer, response};
use crate::backends::tool::TaskSupport;
use crate::backends::transport::TransportError;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::{Capabilities, declares};
use crate::mcp::json::{Members, quoted};
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::splice::Edits;
use crate::mcp::task::{self, Core, EXTENSION, Status, Task, TaskVerb};
use crate::mcp::version::Era;
use crate::metrics::CallStatus;
use crate::rejection::{Rejection, UpstreamFailureKind};

/// How long the questions of a task that asks are waited for.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// What a client hears whose request was taken in.
const ACKNOWLEDGED: &str = r#"{"resultType":"complete"}"#;

/// A request about a task.
struct About<'a> {
    shared: &'a Arc<Shared>,
    request: &'a McpRequest,
    task: &'a Task,
    /// What its client can be asked.
    abilities: Capabilities,
    key: SessionKey,
    link: Arc<Link>,
    deadline: Instant,
}

/// Whether the server is to make a task of a call.
///
/// # Errors
///
/// If it makes nothing else of it, and the client cannot have one.
pub(super) fn becomes_task(call: &Call, link: &Link) -> Result<bool, Rejection> {
    let request = &call.request;
    let Some(tool) = call.callee.tool().filter(|tool| tool.task_support != TaskSupport::Forbidden) else {
        return Ok(false);
    };
    if (request.era(), link.era) != (Era::Modern, Era::Legacy) || !link.offer.has_tasks() {
        return Ok(false);
    }
    let is_required = tool.task_support == TaskSupport::Required;
    let said = request.params.meta.client_capabilities.map_or("{}", |span| request.text(span));
    if !declares(said, EXTENSION) {
        return if is_required { Err(Rejection::missing_extension(EXTENSION)) } else { Ok(false) };
    }
    // A session that is for one call alone ends with it, and so would the task.
    let ends_with_call = call.key == SessionKey::Fresh && link.is_own();
    // Who shares the pipe of others for want of one has it for now.
    let is_makeshift = link.transport.is_pipe() && !link.is_alone() && !call.abilities.is_empty();
    let hindrance = match (ends_with_call, is_makeshift) {
        (true, _) => "the server makes a task of this: that needs a caller with a credential",
        (_, true) => "the server makes a task of this, and there is no connection to it for this caller",
        (false, false) => return Ok(true),
    };
    if is_required { Err(call.cannot(hindrance)) } else { Ok(false) }
}

// === impl Shared ===

impl Shared {
    /// What a stateless client hears of the task that a server with a handshake
    /// made of its call; `None` where it made none. One that it was not to make
    /// nobody could ask for.
    pub(super) fn made_task(
        &self,
        call: &Call,
        link: &Link,
        message: &UpstreamMessage,
    ) -> Option<Result<Bytes, Rejection>> {
        let UpstreamKind::Result { result, members, .. } = &message.kind else { return None };
        let tool = call.callee.tool().filter(|_| members.names_task)?;
        let request = &call.request;
        if (request.era(), link.era) != (Era::Modern, Era::Legacy) {
            return None;
        }
        let result = message.text(*result);
        let made = Members::get(result, "task")?;
        let own = Members::get(made, "taskId").and_then(string)?;
        if !becomes_task(call, link).unwrap_or(false) {
            let is_whole = Members::get(result, "content").is_some();
            return (!is_whole).then(|| Err(call.cannot("the server made a task of a call that may not become one")));
        }
        let (abilities, home) = (request.abilities, self.keys.home().cloned());
        let core = Core { abilities, session: link.mark, home };
        let (upstream, tool) = (Arc::clone(&self.settings.name), Arc::clone(&tool.full_name));
        let task = Task { upstream, tool, own: own.into(), core: Some(core) };
        let id = task.seal(&self.keys, request.server.as_deref(), request.principal.name());
        let Some(id) = id else {
            return Some(Err(call.cannot("the server's task has an id that cannot be passed on")));
        };
        let result = format!(r#"{{"resultType":"task",{}}}"#, as_extension(made, &quoted(&id), None));
        Some(Ok(response(request.id_text(), &result)))
    }

    /// Serves a stateless client's request about a task that it made in the
    /// session that `core` tells of.
    pub(super) async fn about_core_task(
        self: Arc<Self>,
        request: Box<McpRequest>,
        task: &Task,
        core: &Core,
    ) -> Result<Answer, Rejection> {
        let Operation::Task { verb, .. } = request.operation else { return Err(Rejection::Internal) };
        self.circuit.check().map_err(|_| self.refused_by_circuit(&request))?;
        let waiting = Waiting::begin(&request);
        let done = waiting.for_it(None, self.done(&request, task, core, verb)).await.flatten();
        let result = done.map_err(|rejection| match rejection {
            // That was noted where it was seen.
            Rejection::Upstream(_) => rejection,
            other => self.rejected(&request, other),
        })?;
        request.record.set_status(CallStatus::Success);
        self.metrics.upstream_request(&self.settings.name, "ok");
        Ok(Answer::result(request.id_text(), &result))
    }

    /// The result of such a request.
    async fn done(
        self: &Arc<Self>,
        request: &McpRequest,
        task: &Task,
        core: &Core,
        verb: TaskVerb,
    ) -> Result<String, Rejection> {
        if task.elsewhere(&self.keys).is_some() {
            // The replica that has it cannot be reached.
            return Err(Rejection::ReplicaLost);
        }
        let deadline = request.deadline.min(Instant::now() + self.settings.timeout);
        let key = SessionKey::of(request, self.answering(core.abilities));
        let link = match core.session {
            // In another session the same id may be another task's.
            Some(mark) => self.links.marked(&key, mark),
            None => {
                let own = self.links.own(deadline).await.map_err(|error| self.failed(request, &error))?;
                Some(own).filter(|own| own.era == Era::Legacy && own.mark.is_none())
            }
        };
        let link = link.ok_or(Rejection::UnknownTask)?;
        let about = About { shared: self, request, task, abilities: core.abilities, key, link, deadline };
        match verb {
            TaskVerb::Get => about.get().await,
            TaskVerb::Update => about.update().await,
            TaskVerb::Cancel => about.cancel().await,
            TaskVerb::Result => Err(Rejection::UnknownMethod),
        }
    }
}

// === impl About ===

impl About<'_> {
    /// How the task stands, as the extension has it.
    async fn get(&self) -> Result<String, Rejection> {
        let standing = self.standing().await?;
        let task = result_of(&standing).unwrap_or("{}");
        let said = Status::of(task).ok_or_else(|| self.garbage())?;
        let (status, more) = match said {
            // A tool that failed has a result, too.
            Status::Completed | Status::Failed => self.outcome(said).await?,
            Status::InputRequired => match self.questions().await? {
                Some(requests) => (said, format!(r#","inputRequests":{requests}"#)),
                // It asks nothing that its client could answer.
                None => (Status::Working, String::new()),
            },
            Status::Working | Status::Cancelled => (said, String::new()),
        };
        let known = self.request.params.task_id().map_or("\"\"", |id| self.request.text(id.span));
        let task = as_extension(task, known, Some(status));
        Ok(format!(r#"{{"resultType":"complete",{task}{more}}}"#))
    }

    /// What came of a task that has ended: how it stands for that, and the member
    /// that says it.
    async fn outcome(&self, said: Status) -> Result<(Status, String), Rejection> {
        let came = self.ask("tasks/result").await?;
        if result_of(&came).is_none() && said == Status::Completed {
            return Err(self.refused(&came));
        }
        // As the client would hear it, had it waited for it.
        let mut request = self.request.clone();
        request.operation = Operation::Task { verb: TaskVerb::Result, task: Arc::new(self.task.clone()) };
        let untagged = result_of(&came).and_then(untagged).map(|(meta, left)| (came.place(meta), left));
        let edits = Edits::from_iter(untagged);
        let told = translate::answer(&request, Era::Legacy, &self.shared.label, &edits, &came)?;
        let told = UpstreamMessage::scan(told).map_err(|_| self.garbage())?;
        Ok(match told.kind {
            UpstreamKind::Error { error, .. } => (Status::Failed, format!(r#","error":{}"#, told.text(error))),
            _ => (Status::Completed, format!(r#","result":{}"#, result_of(&told).unwrap_or("{}"))),
        })
    }

    /// What the task asks of its client, as `inputRequests`.
    async fn questions(&self) -> Result<Option<String>, Rejection> {
        let inquiry = Inquiries::of(self.shared, self.name(), &self.link, self.request, self.abilities);
        let inquiry = inquiry.ok_or(Rejection::Overloaded)?;
        let deadline = self.deadline.min(Instant::now() + QUESTION_TIMEOUT);
        Ok(inquiry.questions(self.request.abilities, deadline).await)
    }

    async fn update(&self) -> Result<String, Rejection> {
        let responses = self.request.params.input_responses().map(|span| self.request.text(span));
        let responses = responses.ok_or_else(|| Rejection::invalid_params("`inputResponses` must be an object"))?;
        match self.shared.inquiries.known(&self.name()) {
            Some(inquiry) => inquiry.answer(responses).await,
            // It asks nothing; answers to nothing are let be.
            None => {
                self.standing().await?;
            }
        }
        Ok(ACKNOWLEDGED.to_owned())
    }

    /// The server refuses to cancel what has ended; to this client that is no
    /// error.
    async fn cancel(&self) -> Result<String, Rejection> {
        let cancelled = self.ask("tasks/cancel").await?;
        if result_of(&cancelled).is_none() {
            match self.refused(&cancelled) {
                Rejection::UnknownTask => self.standing().await?,
                other => return Err(other),
            };
        }
        Ok(ACKNOWLEDGED.to_owned())
    }

    /// How the task stands, as the server says it.
    async fn standing(&self) -> Result<UpstreamMessage, Rejection> {
        let message = self.ask("tasks/get").await?;
        if result_of(&message).is_some() { Ok(message) } else { Err(self.refused(&message)) }
    }

    /// What an error of the server means: by this one it says that it does not
    /// know the task, and by any other nothing of the task.
    fn refused(&self, message: &UpstreamMessage) -> Rejection {
        match message.kind {
            UpstreamKind::Error { code: task::UNKNOWN, .. } => Rejection::UnknownTask,
            _ => self.failed(UpstreamFailureKind::Failed),
        }
    }

    fn garbage(&self) -> Rejection {
        self.failed(UpstreamFailureKind::Garbage)
    }

    fn failed(&self, kind: UpstreamFailureKind) -> Rejection {
        self.request.record.set_status(CallStatus::UpstreamError);
        self.shared.metrics.upstream_request(&self.shared.settings.name, kind.as_str());
        Rejection::Upstream(self.shared.failure_of(kind))
    }

    async fn ask(&self, method: &'static str) -> Result<UpstreamMessage, Rejection> {
        let (id, params) = (self.shared.links.next_id(), json!({"taskId": self.task.own}));
        match ask(&self.link, id, method, params, self.deadline).await {
            Ok(Asked { message, status, .. }) => match message.kind {
                UpstreamKind::Error { code, .. } if self.link.disowned_by(status, code) => {
                    self.shared.links.forget(&self.key, &self.link);
                    Err(Rejection::UnknownTask)
                }
                UpstreamKind::Error { .. } if status.is_some_and(|status| status != 400 && status != 404) => {
                    Err(self.failed(UpstreamFailureKind::Failed))
                }
                _ => {
                    self.shared.answered(&self.link);
                    Ok(message)
                }
            },
            Err(TransportError::SessionLost | TransportError::Reconnected) => {
                // The task went with the session.
                self.shared.links.forget(&self.key, &self.link);
                Err(Rejection::UnknownTask)
            }
            Err(error) => Err(self.shared.failed(self.request, &error)),
        }
    }

    fn name(&self) -> Name {
        (self.link.mark, Arc::clone(&self.task.own))
    }
}

fn result_of(message: &UpstreamMessage) -> Option<&str> {
    match message.kind {
        UpstreamKind::Result { result, .. } => Some(message.text(result)),
        _ => None,
    }
}

/// The members of a task of the core as the extension writes them, with the id
/// that its client knows (JSON), and with `status` if that is another.
fn as_extension(task: &str, id: &str, status: Option<Status>) -> String {
    let (mut members, mut has_ttl) = (vec![format!(r#""taskId":{id}"#)], false);
    let _ = Members::for_each(task, |key, value| match key.as_ref() {
        "status" => members
            .push(format!(r#""status":{}"#, status.map_or_else(|| value.to_owned(), |status| quoted(status.as_str())))),
        "statusMessage" | "createdAt" | "lastUpdatedAt" => members.push(format!(r#""{key}":{value}"#)),
        "ttl" => {
            has_ttl = true;
            members.push(format!(r#""ttlMs":{value}"#));
        }
        "pollInterval" => members.push(format!(r#""pollIntervalMs":{value}"#)),
        _ => {}
    });
    if !has_ttl {
        members.push(r#""ttlMs":null"#.to_owned());
    }
    members.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_told_by_the_names_of_the_extension() {
        let task = r#"{"taskId":"own","status":"failed","createdAt":"c","lastUpdatedAt":"u","ttl":60000,"pollInterval":5,"_meta":{}}"#;
        assert_eq!(
            as_extension(task, "\"t\"", Some(Status::Completed)),
            r#""taskId":"t","status":"completed","createdAt":"c","lastUpdatedAt":"u","ttlMs":60000,"pollIntervalMs":5"#
        );
        assert_eq!(
            as_extension(r#"{"status":"working"}"#, "\"t\"", None),
            r#""taskId":"t","status":"working","ttlMs":null"#
        );
    }
}
