//! Rewriting a call for the era of its upstream, and the answer for that of
//! its client. Between peers of one era only ids, names and progress tokens
//! change; everything else keeps its bytes.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::link::Link;
use crate::backends::tool::Tool;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::json::{Members, push_string};
use crate::mcp::request::McpRequest;
use crate::mcp::splice::Splice;
use crate::mcp::version::Era;
use crate::mcp::{meta, mirror};
use crate::rejection::Rejection;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TOOLS_CALL: HeaderValue = HeaderValue::from_static("tools/call");

/// The `_meta` members of a call that a client with a handshake makes at a
/// stateless server. No capability is claimed: what such a server would ask
/// for could not yet be asked of the client.
const BRIDGED_META: &str = concat!(
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{},"#,
    r#""io.modelcontextprotocol/clientInfo":"#
);

/// The message that calls `tool` at its upstream.
pub(super) fn call(request: &McpRequest, tool: &Tool, link: &Link, id: u64) -> Bytes {
    let id_text = id.to_string();
    let mut name = String::with_capacity(tool.upstream_name.len() + 2);
    push_string(&mut name, &tool.upstream_name);
    let mut insertion = String::new();
    let mut rewritten_meta = None;
    let params = &request.params;
    let meta_span = params.meta.span;
    match (request.era(), link.era) {
        (Era::Legacy, Era::Modern) => insertion = bridged_meta(request),
        (Era::Modern, Era::Legacy) => {
            rewritten_meta = meta_span.and_then(|span| {
                let token = params.meta.progress_token.map(|_| ("progressToken", id_text.as_str()));
                let drop = |key: &str| meta::STATELESS_KEYS.contains(&key) || key == "progressToken";
                Members::rewrite(request.text(span), drop, token.as_slice()).ok()
            });
        }
        (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => {}
    }
    let mut splice = Splice::default();
    if let Some(span) = request.id {
        splice.replace(span, id_text.as_bytes());
    }
    if let Some(named) = &params.name {
        splice.replace(named.span, name.as_bytes());
        if !insertion.is_empty() && meta_span.is_none() {
            match params.meta.null {
                Some(null) => splice.replace(null, insertion.as_bytes()),
                None => splice.insert(named.span.end(), insertion.as_bytes()),
            }
        }
    }
    if let Some(span) = meta_span {
        if let Some(meta) = &rewritten_meta {
            splice.replace(span, meta.as_bytes());
        } else {
            if let Some(token) = params.meta.progress_token {
                splice.replace(token, id_text.as_bytes());
            }
            if !insertion.is_empty() {
                splice.insert(span.start() + 1, insertion.as_bytes());
            }
        }
    }
    splice.apply(&request.body)
}

/// What is inserted so that a stateless server finds what it needs: a whole
/// `_meta` behind the name, or members at the beginning of the one there is.
fn bridged_meta(request: &McpRequest) -> String {
    let client_info = request
        .session
        .as_ref()
        .and_then(|session| session.client_info.as_ref())
        .and_then(|info| std::str::from_utf8(info).ok())
        .map_or_else(|| Cow::Owned(super::handshake::client_info().to_string()), Cow::Borrowed);
    match request.params.meta.span {
        None if request.params.meta.null.is_some() => format!("{{{BRIDGED_META}{client_info}}}"),
        None => format!(r#","_meta":{{{BRIDGED_META}{client_info}}}"#),
        Some(span) => {
            let inner = request.text(span)[1..].trim_start();
            let comma = if inner.starts_with('}') { "" } else { "," };
            format!("{BRIDGED_META}{client_info}{comma}")
        }
    }
}

/// The headers that go with it.
pub(super) fn headers(request: &McpRequest, tool: &Tool, link: &Link, arguments: Option<&Value>) -> HeaderMap {
    let mut headers = link.headers();
    headers.insert(REQUEST_ID, request.record.request_id.clone());
    if let Some(traceparent) = &request.record.traceparent {
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    if link.era == Era::Modern {
        headers.insert(mirror::METHOD, TOOLS_CALL);
        headers.insert(mirror::NAME, mirror::encode(&tool.upstream_name));
        for parameter in &tool.mirrored {
            if let Some(value) = arguments.and_then(|arguments| parameter.value(arguments)) {
                headers.insert(parameter.header.clone(), value);
            }
        }
    }
    headers
}

/// The answer as the client of `request` must hear it.
///
/// # Errors
///
/// If the answer asks for something that cannot be asked of this client.
pub(super) fn answer(request: &McpRequest, link: &Link, message: &UpstreamMessage) -> Result<Bytes, Rejection> {
    let mut rewritten = None;
    let mut splice = Splice::default();
    match &message.kind {
        UpstreamKind::Result { id, result, members } => {
            splice.replace(*id, request.id_text().as_bytes());
            match (request.era(), link.era) {
                (Era::Legacy, Era::Modern) => {
                    let kind = members.result_type.map(|span| message.text(span));
                    if kind.is_some_and(|kind| kind != "\"complete\"") {
                        return Err(Rejection::CannotBridge {
                            detail: "the tool asks for input this client cannot give",
                        });
                    }
                    if kind.is_some() || members.has_cache_fields || members.has_plain_structured_content {
                        let plain = members.has_plain_structured_content;
                        let drop = |key: &str| {
                            matches!(key, "resultType" | "ttlMs" | "cacheScope") || plain && key == "structuredContent"
                        };
                        rewritten = Members::rewrite(message.text(*result), drop, &[]).ok();
                    }
                }
                (Era::Modern, Era::Legacy) if members.result_type.is_none() => {
                    let is_empty = message.text(*result)[1..].trim_start().starts_with('}');
                    splice.insert(
                        result.start() + 1,
                        if is_empty { br#""resultType":"complete""# } else { br#""resultType":"complete","# },
                    );
                }
                _ => {}
            }
            if let Some(rewritten) = &rewritten {
                splice.replace(*result, rewritten.as_bytes());
            }
            Ok(splice.apply(&message.bytes))
        }
        UpstreamKind::Error { id, error, code } => {
            // A stateless client knows no -32002 and no -32042 (MCP 2026-07-28, "Error codes").
            let code = match (*code, request.era()) {
                (-32002, Era::Modern) => Some("-32602"),
                (-32042, Era::Modern) => Some("-32603"),
                _ => None,
            };
            if let Some(code) = code {
                rewritten = Members::rewrite(message.text(*error), |key| key == "code", &[("code", code)]).ok();
            }
            if let Some(rewritten) = &rewritten {
                splice.replace(*error, rewritten.as_bytes());
            }
            match id {
                Some(id) => {
                    splice.replace(*id, request.id_text().as_bytes());
                    Ok(splice.apply(&message.bytes))
                }
                // It could not read the id, but we know whose answer it is.
                None => {
                    let error = rewritten.as_deref().unwrap_or_else(|| message.text(*error));
                    Ok(format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, request.id_text()).into())
                }
            }
        }
        UpstreamKind::Notification { progress_token, .. } => {
            if let (Some(theirs), Some(ours)) = (progress_token, request.params.meta.progress_token) {
                splice.replace(*theirs, request.text(ours).as_bytes());
            }
            Ok(splice.apply(&message.bytes))
        }
        UpstreamKind::Request { .. } => {
            Err(Rejection::CannotBridge { detail: "the tool asks for something during the call" })
        }
    }
}
