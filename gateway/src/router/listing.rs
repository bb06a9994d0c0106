//! One list of tools out of many.
//!
//! Backends are asked at the same time and each has its own deadline, so that
//! a slow or dead one hides nobody else's tools. The order is that of the
//! configuration, and in it that of each backend.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::backends::answer::Answer;
use crate::backends::tool::ToolList;
use crate::backends::{Backend, Backends};
use crate::mcp::json::push_string;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// How long a backend may keep the list waiting.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long a client may keep the list, in milliseconds, where all is well.
/// The list is filtered for its caller, so nobody else may be shown it.
const TTL_MS: u64 = 60_000;
/// Names the backends that are missing from a list, in its `_meta`.
const UNAVAILABLE: &str = "portcullis/unavailable";

/// The tools that the caller may see.
pub(super) async fn list(backends: &Backends, request: &McpRequest) -> Result<Answer, Rejection> {
    if let Some(cursor) = request.params.cursor
        && request.text(cursor) != "null"
    {
        // The list has one page, so no cursor was ever handed out.
        return Err(Rejection::invalid_params("unknown cursor"));
    }
    let one = request.server.as_deref().and_then(|name| backends.named(name));
    let asked: Vec<&Arc<dyn Backend>> = match one {
        Some(backend) => vec![backend],
        None => backends.all().iter().collect(),
    };
    let deadline = request.deadline.min(Instant::now() + DEADLINE);
    let lists = join_all(asked.iter().map(|backend| ask(backend.as_ref(), deadline))).await;
    let failures: Vec<UpstreamFailure> = lists.iter().filter_map(|list| list.as_ref().err().cloned()).collect();
    if let Some(failure) = failures.first().filter(|_| failures.len() == asked.len()) {
        return Err(Rejection::Upstream(failure.clone()));
    }
    let mut result = String::from(r#"{"tools":["#);
    let mut first = true;
    for tool in lists.iter().flatten().flat_map(|list| &list.tools) {
        if request.filter.shows(&tool.full_name) {
            if !std::mem::take(&mut first) {
                result.push(',');
            }
            result.push_str(tool.definition(request.era(), one.is_some()));
        }
    }
    result.push(']');
    if request.era() == Era::Modern {
        let ttl = if failures.is_empty() { TTL_MS } else { 0 };
        let _ = write!(result, r#","resultType":"complete","ttlMs":{ttl},"cacheScope":"private""#);
    }
    if !failures.is_empty() {
        let _ = write!(result, r#","_meta":{{"{UNAVAILABLE}":["#);
        for (index, failure) in failures.iter().enumerate() {
            if index > 0 {
                result.push(',');
            }
            push_string(&mut result, &failure.upstream);
        }
        result.push_str("]}");
    }
    result.push('}');
    Ok(Answer::result(request.id_text(), &result))
}

/// The models that the caller may call, with when each began to be served, in
/// seconds since 1970.
pub(super) fn models(backends: &Backends, request: &McpRequest) -> Answer {
    let shown = backends.models().filter(|(name, _)| request.filter.shows(name));
    let models: Vec<Value> = shown
        .map(|(name, since)| {
            let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
            json!({"name": **name, "created": since.as_secs()})
        })
        .collect();
    Answer::result(request.id_text(), &json!({"models": models}).to_string())
}

async fn ask(backend: &dyn Backend, deadline: Instant) -> Result<Arc<ToolList>, UpstreamFailure> {
    timeout_at(deadline, backend.tools(deadline)).await.unwrap_or_else(|_| {
        Err(UpstreamFailure {
            upstream: Arc::clone(backend.name()),
            kind: UpstreamFailureKind::TimedOut,
            retry_after: Duration::from_secs(1),
        })
    })
}
