//! Tasks of a server: their ids become sealed ones wherever a message names
//! one, and each client sees those that it made.

use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Shared;
use super::calling::Call;
use super::handshake::ask;
use super::links::SessionKey;
use crate::backends::callee::Callee;
use crate::backends::transport::TransportError;
use crate::mcp::answer::{ResultMembers, UpstreamKind, UpstreamMessage};
use crate::mcp::json::{Members, quoted};
use crate::mcp::operation::{Operation, Wanted};
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::splice::{Edits, Span};
use crate::mcp::task::{PATIENCE, RELATED, Task, TaskVerb};
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// Requests for what came of a task that may wait at one upstream for as long
/// as tasks take; more wait as long as other calls.
pub(super) const MAX_WAITING: usize = 64;
/// Pages of tasks that are looked through for those of one client.
const MAX_PAGES: usize = 20;

// === impl Shared ===

impl Shared {
    /// How long a server may be silent before it has answered a request.
    pub(super) fn patience(&self, waits: bool) -> Duration {
        if waits { PATIENCE } else { self.settings.timeout }
    }

    /// The ids in the result of a call as its client must see them.
    ///
    /// # Errors
    ///
    /// If the server made a task that cannot be named.
    pub(super) fn task_ids(
        &self,
        call: &Call,
        message: &UpstreamMessage,
        result: Span,
        members: &ResultMembers,
    ) -> Result<Edits, Rejection> {
        let request = &call.request;
        match (&request.operation, &call.callee) {
            (Operation::CallTool { .. }, Callee::Tool(tool)) => {
                let Some(place) = made_by(request, message, result, members) else { return Ok(Edits::new()) };
                let own = string(message.text(place));
                let id = own.and_then(|own| self.task_id(request, &tool.full_name, &own));
                let id = id.ok_or_else(|| call.cannot("the server's task has an id that cannot be passed on"))?;
                Ok(vec![(place, id)])
            }
            (Operation::Task { .. }, _) => {
                let result = message.text(result);
                let ids = Members::get(result, "taskId").into_iter().chain(related(result));
                let known = request.params.task_id().map_or("\"\"", |id| request.text(id.span));
                Ok(ids.map(|id| (message.place(id), known.to_owned())).collect())
            }
            _ => Ok(Edits::new()),
        }
    }

    /// The same in a notification, or in a question on the way, of a server of
    /// `era`. `None` where it names a task that the client does not know.
    pub(super) fn task_ids_on_the_way(&self, call: &Call, era: Era, message: &UpstreamMessage) -> Option<Edits> {
        let request = &call.request;
        if (request.era(), era) == (Era::Modern, Era::Legacy) {
            // Stateless clients know no such names; the server's own are for nobody.
            let params = Members::get(&message.whole, "params").and_then(untagged);
            return Some(params.map(|(meta, left)| (message.place(meta), left)).into_iter().collect());
        }
        let tool = match &call.callee {
            Callee::Task(task) => &task.tool,
            Callee::Tool(tool) if request.params.task().is_some() => &tool.full_name,
            _ => return Some(Edits::new()),
        };
        let Some(params) = Members::get(&message.whole, "params") else { return Some(Edits::new()) };
        let is_status = matches!(&message.kind, UpstreamKind::Notification { method, .. } if method == STATUS);
        let flat = if is_status { Some(Members::get(params, "taskId")?) } else { None };
        let mut edits = Edits::new();
        for id in flat.into_iter().chain(related(params)) {
            let own = string(id)?;
            let known = match &call.callee {
                Callee::Task(task) if *task.own == *own => {
                    request.params.task_id().map(|id| request.text(id.span).to_owned())
                }
                // Of another task, it must be one that was made before.
                Callee::Task(_) => {
                    request.session.as_ref()?.tasks.id_of(&self.settings.name, &own).map(|id| quoted(&id))
                }
                _ => self.task_id(request, tool, &own),
            };
            edits.push((message.place(id), known?));
        }
        Some(edits)
    }

    /// The id of a task for the client of `request`, as JSON; within a session
    /// it stays the same.
    fn task_id(&self, request: &McpRequest, tool: &str, own: &str) -> Option<String> {
        let name = &self.settings.name;
        let made = request.session.as_ref().map(|session| &session.tasks);
        if let Some(id) = made.and_then(|made| made.id_of(name, own)) {
            return Some(quoted(&id));
        }
        let task = Task { upstream: name.clone(), tool: tool.into(), own: own.into(), core: None };
        let id = task.seal(&self.keys, request.server.as_deref(), request.principal.name())?;
        if let Some(made) = made {
            made.add(task, &id);
        }
        Some(quoted(&id))
    }

    /// The tasks that the session of `request` made here and whose tools it may
    /// still call, as the server describes them.
    pub(super) async fn tasks(&self, request: &McpRequest, deadline: Instant) -> Result<Vec<String>, UpstreamFailure> {
        let Some(session) = &request.session else { return Ok(Vec::new()) };
        let mut made = session.tasks.at(&self.settings.name);
        made.retain(|(task, _)| request.filter.shows(Wanted::Task(&task.tool)));
        // Where its session at the server is gone, the tasks in it are too.
        let link = self.links.ready(&SessionKey::Client(session.key), self.answering(session.abilities));
        let Some(link) = link.filter(|link| link.era == Era::Legacy && !made.is_empty()) else { return Ok(Vec::new()) };
        let (mut tasks, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let asked = ask(&link, self.links.next_id(), "tasks/list", params, deadline).await;
            let message = asked.map_err(|error: TransportError| self.failure(&error))?.message;
            // A server that lists none answers with an error.
            let UpstreamKind::Result { result, .. } = message.kind else { break };
            let result = message.text(result);
            let listed = Members::get(result, "tasks").unwrap_or("[]");
            let listed: Vec<&RawValue> =
                serde_json::from_str(listed).map_err(|_| self.failure_of(UpstreamFailureKind::Garbage))?;
            for task in listed.into_iter().map(RawValue::get) {
                let Some(id) = Members::get(task, "taskId") else { continue };
                let own = string(id);
                if let Some((_, known)) = made.iter().find(|(made, _)| own.as_deref() == Some(&*made.own)) {
                    let place = Span::of(id, task);
                    tasks.push([&task[..place.start()], &quoted(known), &task[place.end()..]].concat());
                }
            }
            cursor = Members::get(result, "nextCursor").and_then(string).map(std::borrow::Cow::into_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tasks)
    }
}

/// The notification of how a task stands (MCP 2025-11-25, "Tasks").
pub(super) const STATUS: &str = "notifications/tasks/status";

/// Whether a request is there to wait for the end of a task.
pub(super) const fn waits(request: &McpRequest) -> bool {
    matches!(request.operation, Operation::Task { verb: TaskVerb::Result, .. })
}

/// Where the id stands of the task that a call was answered with, if it was.
fn made_by(request: &McpRequest, message: &UpstreamMessage, result: Span, members: &ResultMembers) -> Option<Span> {
    let result = message.text(Some(result).filter(|_| members.names_task)?);
    let id = match request.era() {
        Era::Modern => {
            members.result_type.filter(|kind| message.text(*kind) == "\"task\"")?;
            Members::get(result, "taskId")
        }
        Era::Legacy => {
            request.params.task()?;
            Members::get(Members::get(result, "task")?, "taskId")
        }
    };
    id.map(|id| message.place(id))
}

/// The `_meta` of an object that says to which task it belongs, and the same
/// without that.
pub(super) fn untagged(object: &str) -> Option<(&str, String)> {
    let meta = Members::get(object, "_meta")?;
    Members::get(meta, RELATED)?;
    Some((meta, Members::without(meta, |key| key == RELATED).ok()?))
}

/// The id of the task to which an object says that it belongs, as JSON.
pub(super) fn related(object: &str) -> Option<&str> {
    Members::get(Members::get(Members::get(object, "_meta")?, RELATED)?, "taskId")
}
