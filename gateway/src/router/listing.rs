//! One list out of many.
//!
//! Backends are asked at the same time and each has its own deadline, so that
//! a slow or dead one hides nobody else's entries. The order is that of the
//! configuration, and in it that of each backend.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::DEADLINE;
use crate::backends::answer::Answer;
use crate::backends::item::{Item, ItemList};
use crate::backends::tool::{Tool, ToolList};
use crate::backends::{Backend, Backends};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::json::push_string;
use crate::mcp::request::{ItemKind, McpRequest, Wanted};
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// How long a client may keep the list, in milliseconds, where all is well.
/// The list is filtered for its caller, so nobody else may be shown it.
const TTL_MS: u64 = 60_000;
/// Names the backends that are missing from a list, in its `_meta`.
const UNAVAILABLE: &str = "portcullis/unavailable";

/// The tools, prompts, resources or templates that the caller may see.
pub(super) async fn list(backends: &Backends, request: &McpRequest, kind: ItemKind) -> Result<Answer, Rejection> {
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
    let (mut array, mut beside) = (String::new(), String::new());
    let failures: Vec<UpstreamFailure> = match kind {
        ItemKind::Tool => {
            let lists =
                join_all(asked.iter().map(|backend| tools(backend.as_ref(), request.abilities, deadline))).await;
            let is_shown = |tool: &&Arc<Tool>| request.filter.shows(Wanted::Tool(&tool.full_name));
            if let (Some(_), Some(Ok(list))) = (one, lists.first())
                && list.tools.iter().all(|tool| is_shown(&tool))
            {
                beside = list.beside.after_others();
            }
            let shown = lists.iter().flatten().flat_map(|list| &list.tools).filter(is_shown);
            push_all(&mut array, shown.map(|tool| tool.definition(request.era(), one.is_some())));
            lists.into_iter().filter_map(Result::err).collect()
        }
        ItemKind::Prompt | ItemKind::Resource | ItemKind::Template => {
            let lists = join_all(asked.iter().map(|backend| items(backend.as_ref(), kind, deadline))).await;
            let is_shown = |item: &&Arc<Item>| request.filter.shows(item.name.wanted());
            if let (Some(_), Some(Ok(list))) = (one, lists.first())
                && list.items.iter().all(|item| is_shown(&item))
            {
                beside = list.beside.after_others();
            }
            let shown = lists.iter().flatten().flat_map(|list| &list.items).filter(is_shown);
            push_all(&mut array, shown.map(|item| item.definition(one.is_some())));
            lists.into_iter().filter_map(Result::err).collect()
        }
    };
    if let Some(failure) = failures.first().filter(|_| failures.len() == asked.len()) {
        return Err(Rejection::Upstream(failure.clone()));
    }
    let mut result = format!(r#"{{"{}":[{array}]"#, kind.member());
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
    result.push_str(&beside);
    result.push('}');
    Ok(Answer::result(request.id_text(), &result))
}

fn push_all<'a>(array: &mut String, definitions: impl Iterator<Item = &'a str>) {
    for definition in definitions {
        if !array.is_empty() {
            array.push(',');
        }
        array.push_str(definition);
    }
}

/// The models that the caller may call, with when each began to be served, in
/// seconds since 1970.
pub(super) fn models(backends: &Backends, request: &McpRequest) -> Answer {
    let shown = backends.models().filter(|(name, _)| request.filter.shows(Wanted::Tool(name)));
    let models: Vec<Value> = shown
        .map(|(name, since)| {
            let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
            json!({"name": **name, "created": since.as_secs()})
        })
        .collect();
    Answer::result(request.id_text(), &json!({"models": models}).to_string())
}

async fn tools(
    backend: &dyn Backend,
    abilities: Capabilities,
    deadline: Instant,
) -> Result<Arc<ToolList>, UpstreamFailure> {
    timeout_at(deadline, backend.tools(abilities, deadline)).await.unwrap_or_else(|_| Err(too_slow(backend)))
}

/// A backend's items of a kind that is not tools.
pub(super) async fn items(
    backend: &dyn Backend,
    kind: ItemKind,
    deadline: Instant,
) -> Result<Arc<ItemList>, UpstreamFailure> {
    timeout_at(deadline, backend.items(kind, deadline)).await.unwrap_or_else(|_| Err(too_slow(backend)))
}

fn too_slow(backend: &dyn Backend) -> UpstreamFailure {
    UpstreamFailure {
        upstream: Arc::clone(backend.name()),
        kind: UpstreamFailureKind::TimedOut,
        retry_after: Duration::from_secs(1),
    }
}
