//! What one endpoint offers: the union of what stands behind it.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::DEADLINE;
use crate::backends::offer::Offer;
use crate::backends::{Backend, Backends};
use crate::mcp::request::McpRequest;
use crate::mcp::task;
use crate::mcp::version::Era;

/// More of all instructions together is cut off.
const MAX_INSTRUCTIONS_BYTES: usize = 16 * 1024;
/// The capabilities that are said to be there wherever one server has them.
const SHARED: [&str; 4] = ["prompts", "resources", "completions", "logging"];

/// What the endpoint of a request offers. Servers that were never seen and do
/// not answer in time add nothing.
pub(super) async fn of(backends: &Backends, request: &McpRequest) -> Offer {
    let one = request.server.as_deref().and_then(|name| backends.named(name));
    let deadline = request.deadline.min(Instant::now() + DEADLINE);
    if let Some(backend) = one {
        let offer = ask(backend.as_ref(), deadline).await;
        return Offer {
            era: request.era(),
            capabilities: capabilities(offer.as_deref().as_slice(), request.era()),
            instructions: offer.and_then(|offer| offer.instructions.clone()),
        };
    }
    let offers = join_all(backends.all().iter().map(|backend| ask(backend.as_ref(), deadline))).await;
    let titled = backends.all().iter().zip(&offers).filter_map(|(backend, offer)| {
        let instructions = offer.as_ref()?.instructions.as_deref()?;
        Some(format!("# {}\n\n{}\n", backend.name(), instructions.trim_end()))
    });
    let mut instructions = titled.collect::<Vec<_>>().join("\n");
    instructions.truncate(instructions.floor_char_boundary(MAX_INSTRUCTIONS_BYTES));
    let instructions = (!instructions.is_empty()).then(|| instructions.into());
    let seen: Vec<&Offer> = offers.iter().flatten().map(AsRef::as_ref).collect();
    Offer { era: request.era(), capabilities: capabilities(&seen, request.era()), instructions }
}

/// The capabilities of several servers together, as far as we can deliver
/// them. There are always tools: a server that is away now may have some.
fn capabilities(offers: &[&Offer], era: Era) -> Map<String, Value> {
    let there = SHARED.into_iter().filter(|capability| offers.iter().any(|offer| offer.has(capability)));
    let said = std::iter::once("tools").chain(there).map(|capability| {
        // Clients can listen, whether or not the servers tell: that one comes or
        // goes is a change, too.
        let settings = match capability {
            "completions" | "logging" => json!({}),
            "resources" if offers.iter().any(|offer| offer.takes_subscriptions()) => {
                json!({"listChanged": true, "subscribe": true})
            }
            _ => json!({"listChanged": true}),
        };
        (capability.to_owned(), settings)
    });
    let mut capabilities: Map<String, Value> = said.collect();
    // Stateless clients have those of servers of either era.
    let has_tasks = offers.iter().any(|offer| offer.has_tasks());
    let offers: Vec<&Offer> = offers.iter().copied().filter(|offer| offer.era == era).collect();
    if era == Era::Legacy && offers.iter().any(|offer| offer.has_tasks()) {
        capabilities.insert("tasks".to_owned(), tasks(&offers));
    }
    let mut extensions = extensions(&offers);
    if era == Era::Modern && has_tasks {
        extensions.insert(task::EXTENSION.to_owned(), json!({}));
    }
    if !extensions.is_empty() {
        capabilities.insert("extensions".to_owned(), Value::Object(extensions));
    }
    capabilities
}

/// What can be done with tasks where some servers have them (MCP 2025-11-25,
/// "Tasks"); which ones is said of each tool.
fn tasks(offers: &[&Offer]) -> Value {
    let mut tasks = json!({"requests": {"tools": {"call": {}}}});
    for verb in ["list", "cancel"] {
        if offers.iter().any(|offer| offer.has_tasks() && offer.capabilities["tasks"][verb].is_object()) {
            tasks[verb] = json!({});
        }
    }
    tasks
}

/// The extensions of which the gateway knows nothing, where one server alone has
/// each: a method does not say whose it is.
fn extensions(offers: &[&Offer]) -> Map<String, Value> {
    let mut extensions = Map::new();
    let all = || offers.iter().flat_map(|offer| offer.own_extensions());
    for (name, settings) in all() {
        if all().filter(|(other, _)| *other == name).count() == 1 {
            extensions.insert(name.clone(), settings.clone());
        }
    }
    extensions
}

async fn ask(backend: &dyn Backend, deadline: Instant) -> Option<Arc<Offer>> {
    timeout_at(deadline, backend.offer(deadline)).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(era: Era, capabilities: &Value) -> Offer {
        Offer::read(era, json!({"capabilities": capabilities}))
    }

    #[test]
    fn an_extension_that_two_servers_have_is_not_offered() {
        let one = offer(Era::Modern, &json!({"extensions": {"com.a/notes": {"v": 1}, "com.a/both": {}}}));
        let two = offer(Era::Modern, &json!({"extensions": {"com.a/both": {}, "com.a/odd": 7}}));
        let offered = capabilities(&[&one, &two], Era::Modern);
        assert_eq!(offered["extensions"], json!({"com.a/notes": {"v": 1}}));
        assert_eq!(capabilities(&[&one, &two], Era::Legacy).get("extensions"), None);
    }

    #[test]
    fn tasks_are_offered_as_each_era_knows_them() {
        let core = |more: Value| {
            let mut tasks = json!({"requests": {"tools": {"call": {}}}});
            tasks.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            offer(Era::Legacy, &json!({"tasks": tasks}))
        };
        let (one, two) = (core(json!({"list": {}})), core(json!({"cancel": {}})));
        let new = offer(Era::Modern, &json!({"extensions": {task::EXTENSION: {}}}));
        let whole = json!({"requests": {"tools": {"call": {}}}, "list": {}, "cancel": {}});
        let legacy = capabilities(&[&one, &two, &new], Era::Legacy);
        assert_eq!((&legacy["tasks"], legacy.get("extensions")), (&whole, None));
        for modern in [&[&new, &new], &[&one, &two]].map(|offers| capabilities(offers, Era::Modern)) {
            assert_eq!((modern.get("tasks"), &modern["extensions"]), (None, &json!({task::EXTENSION: {}})));
        }
        assert_eq!(
            capabilities(&[&offer(Era::Legacy, &json!({"tasks": {"list": {}}}))], Era::Legacy).get("tasks"),
            None
        );
    }
}
