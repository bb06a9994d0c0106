//! Rewriting a call for the era of its upstream, and the answer for that of
//! its client. Between peers of one era only ids, names and progress tokens
//! change; everything else keeps its bytes.

mod content;
mod errors;

pub(super) use self::errors::shown_code;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::link::Link;
use super::polling;
use crate::backends::callee::Callee;
use crate::decimal::push_decimal;
use crate::mcp::answer::{ResultMembers, UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::{Capabilities, Question};
use crate::mcp::json::Members;
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::splice::{Span, Splice};
use crate::mcp::task::EXTENSION;
use crate::mcp::version::Era;
use crate::mcp::{meta, mirror};
use crate::rejection::Rejection;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The client lacks a capability (MCP 2026-07-28, "Error codes").
const MISSING_CAPABILITY: i64 = -32021;

/// The `_meta` members of a call that a client with a handshake makes at a
/// stateless server, up to its capabilities and from there to its name.
const BRIDGED_META: &str = concat!(
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":"#
);
const BRIDGED_INFO: &str = r#","io.modelcontextprotocol/clientInfo":"#;

/// Who calls, where the client did not say who it is.
const OWN_CLIENT_INFO: &str = concat!(r#"{"name":"portcullis","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// What a request has besides that is made again.
#[derive(Debug)]
pub(super) enum FollowUp {
    /// The server's `requestState`, as JSON, for the one its client brings.
    State(String),
    /// Members for the beginning of `params`, in the place of the client's own.
    Members(String),
}

/// The message that calls `callee` at its upstream, which is told that the
/// client can be asked what `abilities` say. `follow_up` is what
/// it has besides where it is made again.
pub(super) fn call(
    request: &McpRequest,
    abilities: Capabilities,
    callee: &Callee,
    link: &Link,
    id: u64,
    follow_up: Option<&FollowUp>,
) -> Bytes {
    let mut digits = Vec::with_capacity(20);
    push_decimal(&mut digits, id);
    let id = digits.as_slice();
    let insertion;
    let own_name = callee.quoted();
    let mut splice = Splice::default();
    if let Some(span) = request.id {
        splice.replace(span, id);
    }
    let named = request.named();
    if let Some(named) = named {
        splice.replace(named.span, own_name.as_bytes());
    }
    let without_own;
    let members = match follow_up {
        // The server's own state, in the place of what its client was given.
        Some(FollowUp::State(state)) => {
            if let Some(sealed) = request.params.request_state() {
                splice.replace(sealed.span, state.as_bytes());
            }
            None
        }
        Some(FollowUp::Members(members)) => Some(members),
        None => None,
    };
    // Tasks are not made alike in the two eras.
    let drops_task = request.era() != link.era && request.params.task().is_some();
    if let Some(params) = request.params.span.filter(|_| members.is_some() || drops_task) {
        if let Some(members) = members {
            splice.insert(params.start() + 1, members.as_bytes());
        }
        // What the client brought was of an earlier round.
        let is_own = |key: &str| members.is_some() && matches!(key, "inputResponses" | "requestState");
        without_own = Members::cut(request.text(params), |key| is_own(key) || drops_task && key == "task");
        for cut in without_own.iter().flat_map(|cuts| &cuts.spans) {
            splice.remove(cut.start + params.start()..cut.end + params.start());
        }
    }
    let meta = &request.params.meta;
    if let Some(token) = meta.progress_token {
        splice.replace(token, id);
    }
    if request.era() == link.era
        && link.era == Era::Modern
        && abilities.can(Question::Sampling)
        && !request.abilities.can(Question::Sampling)
        && let Some(declared) = meta.client_capabilities
    {
        // The gateway answers in the client's place what it does not declare.
        let is_empty = request.text(declared)[1..].trim_ascii_start() == "}";
        let sampling: &[u8] = if is_empty { br#""sampling":{}"# } else { br#""sampling":{},"# };
        splice.insert(declared.start() + 1, sampling);
    }
    if request.era() != link.era {
        let cuts = meta.span.and_then(|span| {
            let cuts = Members::cut(request.text(span), |key| meta::STATELESS_KEYS.contains(&key));
            Some((span, cuts.ok()?))
        });
        if link.era == Era::Modern {
            let keeps_members = cuts.as_ref().is_some_and(|(_, cuts)| cuts.keeps_members);
            insertion = bridged_meta(request, abilities, link, keeps_members);
            match (meta.span, meta.malformed) {
                (Some(span), _) => splice.insert(span.start() + 1, insertion.as_bytes()),
                (None, Some(malformed)) => splice.replace(malformed, insertion.as_bytes()),
                (None, None) => {
                    if let Some(params) = request.params.span {
                        splice.insert(params.start() + 1, insertion.as_bytes());
                    }
                }
            }
        }
        if let Some((span, cuts)) = &cuts {
            cuts.spans.iter().for_each(|cut| splice.remove(cut.start + span.start()..cut.end + span.start()));
        }
    }
    splice.apply(request.body.as_bytes())
}

/// What is inserted so that a stateless server finds what it needs: members
/// at the beginning of the `_meta` there is, a whole one in the place of what
/// is none, or one before all other parameters.
fn bridged_meta(request: &McpRequest, abilities: Capabilities, link: &Link, keeps_members: bool) -> String {
    let client_info = request
        .session
        .as_ref()
        .and_then(|session| session.client_info.as_ref())
        .and_then(|info| std::str::from_utf8(info).ok())
        .unwrap_or(OWN_CLIENT_INFO);
    let meta = &request.params.meta;
    let (before, behind) = match (meta.span, meta.malformed) {
        (Some(_), _) => ("", if keeps_members { "," } else { "" }),
        (None, Some(_)) => ("{", "}"),
        (None, None) => (r#""_meta":{"#, "},"),
    };
    let knows_tasks = polling::can_wait(request) && link.offer.has_tasks();
    let abilities = if knows_tasks {
        let mut said = abilities.to_value();
        // The gateway waits for them in the place of its client.
        said["extensions"] = json!({EXTENSION: {}});
        said.to_string().into()
    } else if abilities.is_empty() {
        Cow::Borrowed("{}")
    } else {
        abilities.to_value().to_string().into()
    };
    let level = request.log_level().map(|level| format!(r#","{}":"{}""#, meta::LOG_LEVEL, level.as_str()));
    let level = level.as_deref().unwrap_or_default();
    [before, BRIDGED_META, &abilities, BRIDGED_INFO, client_info, level, behind].concat()
}

/// The headers that go with it.
pub(super) fn headers(request: &McpRequest, callee: &Callee, link: &Link, arguments: Option<&Value>) -> HeaderMap {
    let mut headers = link.headers();
    headers.insert(REQUEST_ID, request.record.request_id.clone());
    if let Some(traceparent) = &request.record.traceparent {
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    if link.era == Era::Modern {
        let method = match &request.operation {
            // Decoded from printable characters.
            Operation::Extension { method, .. } => HeaderValue::from_str(method).ok(),
            known => Some(HeaderValue::from_static(known.method())),
        };
        headers.extend(method.map(|method| (mirror::METHOD, method)));
        if let Some(name) = callee.header(&request.operation) {
            headers.insert(mirror::NAME, name);
        }
        for parameter in callee.tool().map_or(&[][..], |tool| &tool.mirrored) {
            if let Some(value) = arguments.and_then(|arguments| parameter.value(arguments)) {
                headers.insert(parameter.header.clone(), value);
            }
        }
    }
    headers
}

/// The answer of a server of `era` as the client of `request` must hear it.
/// `label` names the server in URIs, `sealed` is what stands for its own state
/// and ids.
///
/// # Errors
///
/// If the answer asks for something that cannot be asked of this client.
pub(super) fn answer(
    request: &McpRequest,
    era: Era,
    label: &str,
    sealed: &[(Span, String)],
    message: &UpstreamMessage,
) -> Result<Bytes, Rejection> {
    let edits;
    let mut splice = Splice::default();
    for (span, text) in sealed {
        splice.replace(*span, text.as_bytes());
    }
    match &message.kind {
        UpstreamKind::Result { id, result, members } => {
            splice.replace(*id, request.id_text().as_bytes());
            match (request.era(), era) {
                (Era::Legacy, Era::Modern) => downgrade(&mut splice, request, message, members)?,
                (Era::Modern, Era::Legacy) if members.result_type.is_none() => {
                    let is_empty = message.whole[result.start() + 1..].trim_ascii_start().starts_with('}');
                    splice.insert(result.start() + 1, stateless_members(&request.operation));
                    if !is_empty {
                        splice.insert(result.start() + 1, b",");
                    }
                }
                (Era::Legacy, Era::Legacy) | (Era::Modern, _) => {}
            }
            edits = content::edits(request, label, message, *result);
            for (span, text) in &edits {
                splice.replace(*span, text.as_bytes());
            }
        }
        UpstreamKind::Error { code: MISSING_CAPABILITY, .. } if request.era() == Era::Legacy => {
            return Err(cannot_bridge(request, "the server asks for input this client cannot give"));
        }
        UpstreamKind::Error { id, error, code } => {
            edits = errors::edits(request, era, *code, message.text(*error));
            // Without an id the error is taken out of its message.
            let offset = id.map_or(0, |_| error.start());
            for (span, text) in &edits {
                splice.replace(span.offset(offset), text.as_bytes());
            }
            let Some(id) = id else {
                // It could not read the id, but we know whose answer it is.
                let error = splice.apply(&message.whole.as_bytes().slice(error.range()));
                return Ok(response_with_error(request.id_text(), &error));
            };
            splice.replace(*id, request.id_text().as_bytes());
            return Ok(splice.apply(message.whole.as_bytes()));
        }
        UpstreamKind::Notification { progress_token, .. } => {
            if let (Some(theirs), Some(ours)) = (progress_token, request.params.meta.progress_token) {
                splice.replace(*theirs, request.text(ours).as_bytes());
            }
        }
        UpstreamKind::Request { .. } => {
            return Err(cannot_bridge(request, "the server asks for something during the call"));
        }
    }
    Ok(splice.apply(message.whole.as_bytes()))
}

/// What a stateless client must find in a result (MCP 2026-07-28, "Results",
/// "Caching"); a server with a handshake says nothing of it.
const fn stateless_members(operation: &Operation) -> &'static [u8] {
    match operation {
        Operation::ReadResource(_) => br#""resultType":"complete","ttlMs":0,"cacheScope":"private""#,
        _ => br#""resultType":"complete""#,
    }
}

pub(super) fn cannot_bridge(request: &McpRequest, detail: &'static str) -> Rejection {
    Rejection::CannotBridge { detail, of_tool: request.tool().is_some() }
}

/// Cuts what clients with a handshake do not know out of a result.
fn downgrade(
    splice: &mut Splice<'_>,
    request: &McpRequest,
    message: &UpstreamMessage,
    members: &ResultMembers,
) -> Result<(), Rejection> {
    if members.result_type.is_some_and(|kind| message.text(kind) != "\"complete\"") {
        return Err(cannot_bridge(request, "the server asks for input this client cannot give"));
    }
    members.without_stateless.spans.iter().for_each(|cut| splice.remove(cut.clone()));
    Ok(())
}

fn response_with_error(id: &str, error: &[u8]) -> Bytes {
    [br#"{"jsonrpc":"2.0","id":"#, id.as_bytes(), br#","error":"#, error, b"}"].concat().into()
}

#[cfg(test)]
mod tests;
