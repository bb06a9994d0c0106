//! The methods that few requests have: those of tasks, what a client wants to
//! hear of its own accord, and extensions that only an upstream knows.

use std::sync::Arc;

use super::Decoder;
use super::arrival::Arrival;
use super::message::check_meta;
use crate::backends::tool::full_name;
use crate::mcp::capabilities::declares;
use crate::mcp::envelope::Envelope;
use crate::mcp::log_level::LogLevel;
use crate::mcp::operation::Operation;
use crate::mcp::subscription_filter::SubscriptionFilter;
use crate::mcp::task::{EXTENSION, Task, TaskVerb};
use crate::mcp::version::Era;
use crate::rejection::Rejection;

/// What the protocol itself has, or had: no extension's method begins so.
const OWN: [&str; 15] = [
    "initialize",
    "ping",
    "server/",
    "tools/",
    "prompts/",
    "resources/",
    "completion/",
    "logging/",
    "subscriptions/",
    "sampling/",
    "elicitation/",
    "roots/",
    "tasks/",
    "notifications/",
    "rpc.",
];
/// A longer name of a method is none.
const MAX_METHOD_BYTES: usize = 128;

// === impl Decoder ===

impl Decoder {
    /// What a method asks for that is none of the common ones.
    pub(super) fn rare(
        &self,
        method: &str,
        envelope: &Envelope<'_>,
        era: Era,
        arrival: &Arrival,
        body: &str,
    ) -> Result<Operation, Rejection> {
        if let Some(verb) = TaskVerb::of_method(method, era) {
            return self.task(verb, envelope, era, arrival, body);
        }
        if (method, era) == ("tasks/list", Era::Legacy) {
            return Ok(Operation::ListTasks);
        }
        match (method, era) {
            ("logging/setLevel", Era::Legacy) => return level(envelope),
            ("subscriptions/listen", Era::Modern) => return listen(envelope, body),
            _ => {}
        }
        let is_own = OWN.iter().any(|own| method.get(..own.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(own)));
        let is_name =
            (1..=MAX_METHOD_BYTES).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_graphic());
        if is_own || !is_name {
            return Err(Rejection::UnknownMethod);
        }
        let upstream = self.backends.of_extension(method, era, arrival.server.as_deref());
        let upstream = Arc::clone(upstream.ok_or(Rejection::UnknownMethod)?.name());
        check_meta(envelope)?;
        let tool = full_name(&upstream, &self.settings.separator, method).into();
        Ok(Operation::Extension { upstream, method: method.into(), tool })
    }

    fn task(
        &self,
        verb: TaskVerb,
        envelope: &Envelope<'_>,
        era: Era,
        arrival: &Arrival,
        body: &str,
    ) -> Result<Operation, Rejection> {
        if era == Era::Modern {
            check_knows_tasks(envelope, body)?;
        }
        check_meta(envelope)?;
        let id = envelope.params.task_id();
        let id = id.ok_or_else(|| Rejection::invalid_params("`taskId` must be a string"))?;
        let keys = self.sessions.keys();
        let task = Task::open(keys, arrival.server.as_deref(), arrival.principal.name(), &id.text);
        Ok(Operation::Task { verb, task: Arc::new(task.ok_or(Rejection::UnknownTask)?) })
    }
}

/// Whether a stateless client says that it knows tasks.
fn check_knows_tasks(envelope: &Envelope<'_>, body: &str) -> Result<(), Rejection> {
    let said = envelope.params.meta.client_capabilities.map_or("{}", |span| &body[span.range()]);
    if declares(said, EXTENSION) { Ok(()) } else { Err(Rejection::missing_extension(EXTENSION)) }
}

fn level(envelope: &Envelope<'_>) -> Result<Operation, Rejection> {
    check_meta(envelope)?;
    let level = envelope.params.level().and_then(|level| LogLevel::parse(&level.text));
    level.map(Operation::SetLevel).ok_or_else(|| {
        let levels = LogLevel::ALL.map(LogLevel::as_str).join(", ");
        Rejection::invalid_params(format!("`level` must be one of {levels}"))
    })
}

fn listen(envelope: &Envelope<'_>, body: &str) -> Result<Operation, Rejection> {
    check_meta(envelope)?;
    let filter = envelope.params.notifications();
    let filter = filter.ok_or_else(|| Rejection::invalid_params("`notifications` must be an object"))?;
    let filter = SubscriptionFilter::read(&body[filter.range()]).map_err(Rejection::invalid_params)?;
    if !filter.task_ids.is_empty() {
        check_knows_tasks(envelope, body)?;
    }
    Ok(Operation::Listen(Box::new(filter)))
}
