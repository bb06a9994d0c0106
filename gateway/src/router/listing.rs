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

use super::{DEADLINE, Router, cursor};
use crate::backends::answer::Answer;
use crate::backends::beside::Beside;
use crate::backends::item::{Item, ItemList};
use crate::backends::tool::{Tool, ToolList};
use crate::backends::{Backend, Backends};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::json::push_string;
use crate::mcp::operation::{ItemKind, Wanted};
use crate::mcp::request::{Filter, McpRequest};
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// Entries of one page.
const PAGE_ENTRIES: usize = 1_000;
/// How long a client may keep a list of which no server says so. It is filtered
/// for its caller, so nobody else may be shown it.
const TTL: Duration = Duration::from_secs(60);
/// Names the backends that are missing from a list, in its `_meta`.
const UNAVAILABLE: &str = "portcullis/unavailable";

/// A list of one backend.
trait Listed {
    type Entry;

    fn entries(&self) -> &[Arc<Self::Entry>];
    fn beside(&self) -> &Beside;
    fn until(&self) -> Option<Instant>;
    fn is_shown(entry: &Self::Entry, filter: &Filter) -> bool;
    fn definition(entry: &Self::Entry, era: Era, short: bool) -> &str;
}

/// One page of all lists together.
struct Page {
    /// The entries, as JSON.
    entries: String,
    /// What stands beside them, where one backend stands alone.
    beside: String,
    ttl: Duration,
    /// Whether another page follows.
    is_followed: bool,
    /// The backends whose entries are missing.
    failures: Vec<UpstreamFailure>,
}

/// The tools, prompts, resources or templates that the caller may see.
pub(super) async fn list(router: &Router, request: &McpRequest, kind: ItemKind) -> Result<Answer, Rejection> {
    let (backends, keys) = (&router.backends, router.sessions.keys());
    let begin = cursor::read(keys, request, kind)?;
    let one = request.server.as_deref().and_then(|name| backends.named(name));
    let asked: Vec<&Arc<dyn Backend>> = match one {
        Some(backend) => vec![backend],
        None => backends.all().iter().collect(),
    };
    let deadline = request.deadline.min(Instant::now() + DEADLINE);
    let page = match kind {
        ItemKind::Tool => {
            let lists = asked.iter().map(|backend| tools(backend.as_ref(), request.abilities, deadline));
            Page::of(join_all(lists).await, request, one.is_some(), begin)
        }
        ItemKind::Prompt | ItemKind::Resource | ItemKind::Template => {
            let lists = asked.iter().map(|backend| items(backend.as_ref(), kind, deadline));
            Page::of(join_all(lists).await, request, one.is_some(), begin)
        }
    };
    if let Some(failure) = page.failures.first().filter(|_| page.failures.len() == asked.len()) {
        return Err(Rejection::Upstream(failure.clone()));
    }
    let mut result = format!(r#"{{"{}":[{}]"#, kind.member(), page.entries);
    if page.is_followed {
        let next = cursor::seal(keys, request, kind, begin + PAGE_ENTRIES);
        let _ = write!(result, r#","nextCursor":"{next}""#);
    }
    if request.era() == Era::Modern {
        let ttl_ms = page.ttl.as_millis();
        let _ = write!(result, r#","resultType":"complete","ttlMs":{ttl_ms},"cacheScope":"private""#);
    }
    if !page.failures.is_empty() {
        let _ = write!(result, r#","_meta":{{"{UNAVAILABLE}":["#);
        for (index, failure) in page.failures.iter().enumerate() {
            if index > 0 {
                result.push(',');
            }
            push_string(&mut result, &failure.upstream);
        }
        result.push_str("]}");
    }
    result.push_str(&page.beside);
    result.push('}');
    Ok(Answer::result(request.id_text(), &result))
}

// === impl Page ===

impl Page {
    /// Merges lists and leaves out what the caller may not see, and so many
    /// entries that were on earlier pages.
    fn of<L: Listed>(
        lists: Vec<Result<Arc<L>, UpstreamFailure>>,
        request: &McpRequest,
        is_alone: bool,
        begin: usize,
    ) -> Self {
        let is_shown = |entry: &&Arc<L::Entry>| L::is_shown(entry, &request.filter);
        let there = || lists.iter().flatten();
        // What is said of a list of which something is hidden is not said on.
        let whole = there().next().filter(|list| is_alone && list.entries().iter().all(|entry| is_shown(&entry)));
        let beside = whole.map(|list| list.beside().after_others()).unwrap_or_default();
        let mut shown = there().flat_map(|list| list.entries()).filter(is_shown).skip(begin);
        let mut entries = String::new();
        for entry in shown.by_ref().take(PAGE_ENTRIES) {
            if !entries.is_empty() {
                entries.push(',');
            }
            entries.push_str(L::definition(entry, request.era(), is_alone));
        }
        let is_followed = shown.next().is_some();
        let ttl = ttl(there().map(|list| list.until()));
        let failures: Vec<_> = lists.into_iter().filter_map(Result::err).collect();
        let ttl = if failures.is_empty() { ttl } else { Duration::ZERO };
        Self { entries, beside, ttl, is_followed, failures }
    }
}

impl Listed for ToolList {
    type Entry = Tool;

    fn entries(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn beside(&self) -> &Beside {
        &self.beside
    }

    fn until(&self) -> Option<Instant> {
        self.until
    }

    fn is_shown(tool: &Tool, filter: &Filter) -> bool {
        filter.shows(Wanted::Tool(&tool.full_name))
    }

    fn definition(tool: &Tool, era: Era, short: bool) -> &str {
        tool.definition(era, short)
    }
}

impl Listed for ItemList {
    type Entry = Item;

    fn entries(&self) -> &[Arc<Item>] {
        &self.items
    }

    fn beside(&self) -> &Beside {
        &self.beside
    }

    fn until(&self) -> Option<Instant> {
        self.until
    }

    fn is_shown(item: &Item, filter: &Filter) -> bool {
        filter.shows(item.name.wanted())
    }

    fn definition(item: &Item, _: Era, short: bool) -> &str {
        item.definition(short)
    }
}

/// How long all of some lists may be kept: the shortest of what their servers
/// say, and no longer than [`TTL`] where one says nothing.
fn ttl(until: impl IntoIterator<Item = Option<Instant>>) -> Duration {
    let now = Instant::now();
    let each = until.into_iter().map(|until| until.map_or(TTL, |until| until.saturating_duration_since(now)));
    each.min().unwrap_or(TTL)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_is_kept_for_as_long_as_each_of_its_servers_allows() {
        let after = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(ttl([]), TTL);
        assert_eq!(ttl([None, after(90)]), TTL);
        assert_eq!(ttl([after(90), after(300)]), Duration::from_secs(90));
        assert_eq!(ttl([after(90), None, after(5)]), Duration::from_secs(5));
        let past = after(0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ttl([after(90), past]), Duration::ZERO);
    }
}
