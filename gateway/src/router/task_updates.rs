//! `notifications/tasks` (the extension of 2026-07-28, "Task status
//! notifications"): tells a client that listens how its tasks stand.
//!
//! Servers need not tell that, and those with a handshake tell it otherwise, so
//! each task is asked about at the pace that its server names. What is told is
//! what `tasks/get` would have answered.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep};

use super::Router;
use crate::backends::Backend;
use crate::backends::answer::Answer;
use crate::backends::callee::Callee;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::envelope::Envelope;
use crate::mcp::json::{Members, quoted};
use crate::mcp::meta::subscription_tag;
use crate::mcp::operation::{Operation, Wanted};
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::subscription_filter::SubscriptionFilter;
use crate::mcp::task::{self, Status, Task, TaskVerb};
use crate::rejection::Rejection;

/// What is said of the tasks that a client listens to.
pub(super) type Updates = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The server knows the task no more.
struct Gone;

/// One task that a client listens to.
struct Watched {
    backend: Arc<dyn Backend>,
    task: Arc<Task>,
    /// As its client knows it.
    id: String,
    /// What asks about it.
    request: Box<McpRequest>,
    /// What was told last.
    told: Option<String>,
    pause: Duration,
    has_ended: bool,
}

/// The tasks of a filter that the client of a request may have, by the ids that
/// it gave them; and what is said of them.
pub(super) fn of(router: &Router, request: &McpRequest, filter: &SubscriptionFilter) -> (Vec<String>, Updates) {
    let watched: Vec<_> = filter.task_ids.iter().filter_map(|id| Watched::of(router, request, id)).collect();
    let ids = watched.iter().map(|watched| watched.id.clone()).collect();
    let tag = subscription_tag(request.id_text());
    let each = watched.into_iter().map(|watched| {
        let tasks = stream::unfold(watched, async |mut watched| Some((watched.next().await?, watched)));
        let tag = tag.clone();
        let updates: Updates = Box::pin(tasks.map(move |task| notification(&tag, &task)));
        updates
    });
    // A stream that has said everything is still one that is listened to.
    (ids, Box::pin(stream::select_all(each).chain(stream::pending())))
}

/// Says how a task stands; `task` are the members of its object.
fn notification(tag: &str, task: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{{"_meta":{{{tag}}},{task}}}}}"#).into()
}

// === impl Watched ===

impl Watched {
    fn of(router: &Router, request: &McpRequest, id: &str) -> Option<Self> {
        let keys = router.sessions.keys();
        let task = Task::open(keys, request.server.as_deref(), request.principal.name(), id)?;
        // One that is another replica's can be asked about there alone.
        if task.elsewhere(keys).is_some() || !request.filter.shows(Wanted::Task(&task.tool)) {
            return None;
        }
        let backend = Arc::clone(router.backends.named(&task.upstream)?);
        let meta = request.params.meta.span.map_or("{}", |span| request.text(span));
        let params = format!(r#"{{"taskId":{},"_meta":{meta}}}"#, quoted(id));
        let body = ByteString::from(format!(r#"{{"jsonrpc":"2.0","id":0,"method":"tasks/get","params":{params}}}"#));
        let envelope = Envelope::scan(&body).ok()?;
        let task = Arc::new(task);
        let request = McpRequest {
            operation: Operation::Task { verb: TaskVerb::Get, task: Arc::clone(&task) },
            id: envelope.id,
            params: envelope.params,
            mirrored: None,
            body: body.clone(),
            ..request.clone()
        };
        let (id, request) = (id.to_owned(), Box::new(request));
        Some(Self { backend, task, id, request, told: None, pause: Duration::ZERO, has_ended: false })
    }

    /// What is new of the task, as the members of its object; `None` once there
    /// is nothing more to come.
    async fn next(&mut self) -> Option<String> {
        while !self.has_ended {
            sleep(self.pause).await;
            let (task, status) = match self.get().await {
                Ok(Some(standing)) => standing,
                Ok(None) => {
                    self.pause = (self.pause * 2).clamp(task::FASTEST, task::SLOWEST);
                    continue;
                }
                Err(Gone) => return None,
            };
            self.pause = task::pause(&task);
            self.has_ended = status.has_ended();
            if self.told.as_ref() != Some(&task) {
                let members = task.trim().strip_prefix('{')?.strip_suffix('}')?.to_owned();
                self.told = Some(task);
                return Some(members);
            }
        }
        None
    }

    /// How the task stands; `None` where that cannot be told now.
    async fn get(&self) -> Result<Option<(String, Status)>, Gone> {
        let mut request = self.request.clone();
        request.deadline = Instant::now() + request.timeout;
        // What is written down of the stream is not what is asked under way.
        request.record = Arc::new(request.record.of_one());
        let message = match Arc::clone(&self.backend).call(request, Callee::Task(Arc::clone(&self.task))).await {
            Ok(Answer::Message { message, .. }) => Some(message),
            Ok(Answer::Stream(messages)) => messages.fold(None, |last, message| ready(message.ok().or(last))).await,
            Ok(Answer::Opened { .. } | Answer::Standing(_) | Answer::Accepted) => None,
            Err(Rejection::UnknownTask) => return Err(Gone),
            Err(_) => None,
        };
        let message = message.and_then(|message| UpstreamMessage::scan(message).ok());
        let Some(message) = message else { return Ok(None) };
        match message.kind {
            UpstreamKind::Result { result, .. } => Ok(standing(message.text(result))),
            UpstreamKind::Error { code: task::UNKNOWN, .. } => Err(Gone),
            _ => Ok(None),
        }
    }
}

/// What a server says of a task, without what is of the answer alone; `None` of
/// what is no task.
fn standing(result: &str) -> Option<(String, Status)> {
    Members::get(result, "taskId").and_then(string)?;
    let status = Status::of(result)?;
    Some((Members::without(result, |key| matches!(key, "resultType" | "_meta")).ok()?, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_task_is_not_told() {
        let task = r#"{"resultType":"complete","taskId":"t","status":"working","_meta":{}}"#;
        assert_eq!(standing(task).unwrap().0, r#"{"taskId":"t","status":"working"}"#);
        for other in ["{}", r#"{"taskId":"t"}"#, r#"{"status":"working"}"#, r#"{"taskId":"t","status":"banana"}"#, "[]"]
        {
            assert_eq!(standing(other), None, "{other}");
        }
    }
}
