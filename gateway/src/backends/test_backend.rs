//! A backend that does what a test says.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Backend;
use super::answer::Answer;
use super::callee::Callee;
use super::settings::ToolSelection;
use super::tool::{Tool, ToolList, ToolNaming};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::request::McpRequest;
use crate::metrics::CallStatus;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// Answers every call with `{}`, unless told otherwise.
pub(crate) struct TestBackend {
    name: Arc<str>,
    list: Result<Arc<ToolList>, UpstreamFailure>,
    model_since: Option<SystemTime>,
    delay: Duration,
    answer: fn(&McpRequest) -> Result<Answer, Rejection>,
    /// The tools called, by their names at the upstream, as JSON.
    pub(crate) called: Mutex<Vec<String>>,
    /// The sessions ended.
    pub(crate) ended: Mutex<Vec<u128>>,
}

impl TestBackend {
    /// A backend with these tools.
    pub(crate) fn new(name: &str, tools: &[&str]) -> Self {
        let naming = ToolNaming::new(name.into(), "__", ToolSelection::default()).unwrap();
        let tools = tools.iter().map(|tool| {
            let definition = format!(r#"{{"name":"{tool}","x":1.0}}"#);
            naming.tool(&RawValue::from_string(definition).unwrap()).unwrap()
        });
        Self::of(name, Ok(Arc::new(ToolList::new(tools))))
    }

    /// A model, served since a minute after 1970 began.
    pub(crate) fn model(name: &str) -> Self {
        let definition = serde_json::json!({"name": name, "inputSchema": {"type": "object"}});
        let tool = Tool::unprefixed(&name.into(), &definition).unwrap();
        let model_since = Some(UNIX_EPOCH + Duration::from_secs(60));
        Self { model_since, ..Self::of(name, Ok(Arc::new(ToolList::new([tool])))) }
    }

    /// A backend that cannot be reached.
    pub(crate) fn dead(name: &str) -> Self {
        Self::of(name, Err(unreachable(name)))
    }

    /// The same, which lists its tools after a while only.
    pub(crate) fn listing_after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same, which answers so.
    pub(crate) fn answering(self, answer: fn(&McpRequest) -> Result<Answer, Rejection>) -> Self {
        Self { answer, ..self }
    }

    fn of(name: &str, list: Result<Arc<ToolList>, UpstreamFailure>) -> Self {
        Self {
            name: name.into(),
            list,
            model_since: None,
            delay: Duration::ZERO,
            answer: |request| Ok(Answer::result(request.id_text(), "{}")),
            called: Mutex::default(),
            ended: Mutex::default(),
        }
    }
}

/// The failure of a [dead](TestBackend::dead) backend.
pub(crate) fn unreachable(name: &str) -> UpstreamFailure {
    UpstreamFailure {
        upstream: name.into(),
        kind: UpstreamFailureKind::Unreachable,
        retry_after: Duration::from_millis(2500),
    }
}

impl fmt::Debug for TestBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestBackend").field(&self.name).finish()
    }
}

impl Backend for TestBackend {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn model_since(&self) -> Option<SystemTime> {
        self.model_since
    }

    fn known_tools(&self, _: Capabilities) -> Option<Arc<ToolList>> {
        self.list.clone().ok()
    }

    fn tools(&self, _: Capabilities, _: Instant) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            self.list.clone()
        })
    }

    fn find<'a>(
        &'a self,
        full_name: &'a str,
        abilities: Capabilities,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>> {
        Box::pin(async move { Ok(self.tools(abilities, deadline).await?.get(full_name).cloned()) })
    }

    fn call(
        self: Arc<Self>,
        request: Box<McpRequest>,
        callee: Callee,
    ) -> BoxFuture<'static, Result<Answer, Rejection>> {
        self.called.lock().unwrap().push(callee.quoted().into_owned());
        request.record.set_status(CallStatus::Success);
        Box::pin(async move { (self.answer)(&request) })
    }

    fn session_ended(&self, session: u128) -> BoxFuture<'_, ()> {
        self.ended.lock().unwrap().push(session);
        Box::pin(std::future::ready(()))
    }

    fn retire(&self) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
