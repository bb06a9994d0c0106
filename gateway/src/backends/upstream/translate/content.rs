//! What stands inside a result and must be told otherwise to its client: the
//! URIs of resources where several upstreams stand behind one endpoint, and
//! kinds of content that the client's revision does not have.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;

use crate::backends::uri;
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::json::{Members, quoted};
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::string;
use crate::mcp::splice::{Edits, Span};
use crate::mcp::task::TaskVerb;
use crate::mcp::version::Version;

/// How the types of the blocks begin that hold URIs. Most results have none,
/// and all are searched.
static RESOURCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"resource"));

/// How content must look to one client.
#[derive(Clone, Copy)]
struct Form<'a> {
    /// The result's text, in which places are.
    result: &'a str,
    /// What names the upstream in URIs, where they must name it.
    label: Option<&'a str>,
    /// Links to resources are written as text (they came with 2025-06-18).
    spells_links: bool,
    /// Audio is an embedded resource (it came with 2025-03-26).
    embeds_audio: bool,
}

/// The changes to the result of `request` that is `result` in `message`.
/// `label` names the upstream in URIs.
pub(super) fn edits(request: &McpRequest, label: &str, message: &UpstreamMessage, result: Span) -> Edits {
    let label = request.server.is_none().then_some(label);
    let spells_links = request.version < Version::V2025_06_18;
    let mut edits = Edits::new();
    if label.is_none() && !spells_links {
        return edits;
    }
    let place = result.start();
    let result = message.text(result);
    let embeds_audio = request.version < Version::V2025_03_26;
    let form = Form { result, label, spells_links, embeds_audio };
    let member = match request.operation {
        // The blocks that hold URIs say so in their type.
        Operation::CallTool { .. } if form.may_change(result) => "content",
        Operation::GetPrompt { .. } if form.may_change(result) => "messages",
        Operation::ReadResource(_) => "contents",
        Operation::Task { .. } if holds_resource(result) => "content",
        _ => return edits,
    };
    let holder = match request.operation {
        // How a task stands comes with what came of it.
        Operation::Task { verb: TaskVerb::Get, .. } => Members::get(result, "result").unwrap_or("{}"),
        _ => result,
    };
    for entry in Members::get(holder, member).map(elements).unwrap_or_default() {
        match request.operation {
            Operation::ReadResource(_) => form.name_uri(entry, &mut edits),
            Operation::GetPrompt { .. } => {
                let content = Members::get(entry, "content").unwrap_or_default();
                let blocks = if content.starts_with('[') { elements(content) } else { vec![content] };
                blocks.into_iter().for_each(|block| form.block(block, &mut edits));
            }
            _ => form.block(entry, &mut edits),
        }
    }
    for (span, _) in &mut edits {
        *span = span.offset(place);
    }
    edits
}

// === impl Form ===

impl Form<'_> {
    /// Whether a result may hold a block that is changed.
    fn may_change(self, result: &str) -> bool {
        holds_resource(result) || self.embeds_audio && result.contains("\"audio")
    }

    /// One block of content.
    fn block(self, block: &str, edits: &mut Edits) {
        match Members::get(block, "type").and_then(string).as_deref() {
            Some("resource_link") if self.spells_links => {
                edits.push((Span::of(block, self.result), self.spelt(block)));
            }
            Some("resource_link") => self.name_uri(block, edits),
            Some("audio") if self.embeds_audio => {
                edits.push((Span::of(block, self.result), embedded(block)));
            }
            Some("resource") => {
                if let Some(resource) = Members::get(block, "resource") {
                    self.name_uri(resource, edits);
                }
            }
            _ => {}
        }
    }

    /// The member `uri` of an object.
    fn name_uri(self, object: &str, edits: &mut Edits) {
        let Some(label) = self.label else { return };
        let Some(written) = Members::get(object, "uri") else { return };
        if let Some(own) = string(written) {
            edits.push((Span::of(written, self.result), quoted(&uri::public(label, &own))));
        }
    }

    /// A link as a block of text.
    fn spelt(self, link: &str) -> String {
        let text = |member| Members::get(link, member).and_then(string).unwrap_or_default();
        let (own, title) = (text("uri"), text("title"));
        let title = if title.is_empty() { text("name") } else { title };
        let address = self.label.map_or_else(|| own.clone(), |label| uri::public(label, &own));
        let line = if title.is_empty() { address.into_owned() } else { format!("{title}: {address}") };
        format!(r#"{{"type":"text","text":{}}}"#, quoted(&line))
    }
}

fn holds_resource(result: &str) -> bool {
    RESOURCE.find(result.as_bytes()).is_some()
}

/// Audio as an embedded resource: its data and type stay as they are written.
fn embedded(audio: &str) -> String {
    let (data, kind) = (Members::get(audio, "data").unwrap_or("\"\""), Members::get(audio, "mimeType"));
    let kind = kind.map_or_else(String::new, |kind| format!(r#","mimeType":{kind}"#));
    format!(r#"{{"type":"resource","resource":{{"uri":"audio:content"{kind},"blob":{data}}}}}"#)
}

/// The elements of an array; none where there is no array.
fn elements(array: &str) -> Vec<&str> {
    serde_json::from_str::<Vec<&RawValue>>(array).unwrap_or_default().into_iter().map(RawValue::get).collect()
}

#[cfg(test)]
mod tests;
