//! `subscriptions/listen` (MCP 2026-07-28): what a stateless client hears of
//! its own accord, on the stream of one request.
//!
//! It is of the configuration it was opened under and ends with it, by a
//! result: its client listens anew, and is authenticated and looked at anew.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};

use super::lists::Lists;
use super::standing::{Open, over};
use super::{Router, offer, subscriptions, task_updates};
use crate::backends::answer::{Answer, Standing, response};
use crate::backends::uri;
use crate::mcp::changes::{Changes, Kind, Moment};
use crate::mcp::meta;
use crate::mcp::operation::Wanted;
use crate::mcp::request::McpRequest;
use crate::mcp::subscription_filter::SubscriptionFilter;
use crate::mcp::subscriptions::Subscriptions;
use crate::rejection::Rejection;

/// Resources that are subscribed to at a time.
const AT_ONCE: usize = 16;

/// One such stream.
struct Listening {
    /// The id of the request, as JSON.
    id: String,
    filter: SubscriptionFilter,
    lists: Lists,
    /// Up to when the client was told of changes.
    told: Changes,
    subscriptions: Arc<Subscriptions>,
    task_updates: task_updates::Updates,
    due: VecDeque<Bytes>,
}

/// Opens the stream that a request asks for.
///
/// # Errors
///
/// If the client takes no stream, or has too many.
pub(super) async fn open(
    router: &Router,
    request: &McpRequest,
    filter: &SubscriptionFilter,
) -> Result<Answer, Rejection> {
    if !request.takes_stream {
        return Err(Rejection::NotAcceptable);
    }
    let (open, over) = (Open::of(router, request)?, over(router, request));
    let id = request.id_text().to_owned();
    // What changes from here on is told.
    let (lists, told) = (Lists::new(router, request), Changes::all(Moment::now()));
    let subscriptions = Arc::<Subscriptions>::default();
    let subscribed = subscribe(router, request, filter, &subscriptions).await;
    let offered = offer::of(&router.backends, request).await;
    let mut honoured = Map::new();
    for kind in Kind::ALL.into_iter().filter(|kind| filter.wants(*kind) && offered.has(kind.capability())) {
        honoured.insert(kind.opted_into_by().to_owned(), Value::Bool(true));
    }
    if !subscribed.is_empty() {
        honoured.insert("resourceSubscriptions".to_owned(), subscribed.into());
    }
    let (tasks, task_updates) = task_updates::of(router, request, filter);
    if !tasks.is_empty() {
        honoured.insert("taskIds".to_owned(), tasks.into());
    }
    let (acknowledged, end) = (acknowledged(&id, &Value::Object(honoured)), end(&id));
    let (filter, due) = (filter.clone(), VecDeque::from([acknowledged]));
    let listening = Listening { id, filter, lists, told, subscriptions, task_updates, due };
    let heard = stream::unfold((listening, open), async |(mut listening, open)| {
        Some((listening.next().await, (listening, open)))
    });
    let messages = heard.take_until(over).chain(stream::iter([end]));
    let numbered = messages.enumerate().map(|(number, message)| (number as u64, message));
    Ok(Answer::Standing(Box::new(Standing { messages: Box::pin(numbered), pen: None, primed: None })))
}

/// Subscribes to the resources that the client may have; says to which, by the
/// names that it gave them.
async fn subscribe(
    router: &Router,
    request: &McpRequest,
    filter: &SubscriptionFilter,
    subscriptions: &Arc<Subscriptions>,
) -> Vec<String> {
    let each = filter.resource_subscriptions.iter().map(|named| {
        let subscribed: BoxFuture<'_, Option<String>> = Box::pin(subscribe_to(router, request, named, subscriptions));
        subscribed
    });
    let each: Vec<_> = each.collect();
    stream::iter(each).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

async fn subscribe_to(
    router: &Router,
    request: &McpRequest,
    named: &str,
    subscriptions: &Arc<Subscriptions>,
) -> Option<String> {
    let text = Arc::from(named);
    let uri = uri::of(request.server.as_deref(), &text);
    if !request.filter.shows(Wanted::Resource(&uri)) {
        return None;
    }
    let stream = request.id_text();
    let lease = subscriptions::lease(router, request, subscriptions, &uri, Some(stream)).await.ok()?;
    subscriptions.hold(text, router.backends.since(), lease).ok()?;
    Some(named.to_owned())
}

/// The first message of a stream: what of it is honoured.
fn acknowledged(id: &str, honoured: &Value) -> Bytes {
    let tag = meta::subscription_tag(id);
    let params = format!(r#"{{"_meta":{{{tag}}},"notifications":{honoured}}}"#);
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{params}}}"#).into()
}

/// The last.
fn end(id: &str) -> Bytes {
    let (tag, info) = (meta::subscription_tag(id), meta::server_info());
    let meta = format!(r#"{{{tag},"{}":{info}}}"#, meta::SERVER_INFO);
    response(id, &format!(r#"{{"resultType":"complete","_meta":{meta}}}"#))
}

// === impl Listening ===

impl Listening {
    async fn next(&mut self) -> Bytes {
        loop {
            if let Some(message) = self.due.pop_front() {
                return message;
            }
            tokio::select! {
                changes = self.lists.changed() => {
                    let told = self.told;
                    self.told = told.latest(changes);
                    let news = Kind::ALL.into_iter().filter(|kind| changes.of(*kind) > told.of(*kind));
                    let wanted = news.filter(|kind| self.filter.wants(*kind));
                    self.due.extend(wanted.map(|kind| kind.tagged_notification(&self.id)));
                }
                (uri, message) = self.subscriptions.next() => {
                    self.subscriptions.told(&uri, &message);
                    return message;
                }
                Some(message) = self.task_updates.next() => return message,
            }
        }
    }
}
