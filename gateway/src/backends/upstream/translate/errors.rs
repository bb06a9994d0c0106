//! An upstream's error as its client knows it.

use crate::mcp::json::{Members, quoted};
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::splice::Span;
use crate::mcp::version::Era;

/// No such resource (MCP 2025-11-25, "Resources", error handling).
const RESOURCE_NOT_FOUND: i64 = -32002;
/// The client must visit a URL first (MCP 2025-11-25, "Elicitation").
const URL_ELICITATION_REQUIRED: i64 = -32042;
/// What JSON-RPC 2.0 calls so.
const INVALID_PARAMS: i64 = -32602;
/// The same.
const INTERNAL_ERROR: i64 = -32603;

/// What stands for a code of a server of `era`. A stateless client knows no
/// -32002, and what others mean by the codes from -32020 to -32099 is not what
/// it knows them for (MCP 2026-07-28, "Error codes").
pub(in super::super) fn shown_code(request: &McpRequest, era: Era, code: i64) -> i64 {
    match (request.era(), era, code) {
        (Era::Modern, _, RESOURCE_NOT_FOUND) => INVALID_PARAMS,
        (Era::Modern, _, URL_ELICITATION_REQUIRED) | (Era::Modern, Era::Legacy, -32099..=-32020) => INTERNAL_ERROR,
        _ => code,
    }
}

/// The changes to an `error` object of a server of `era`, each a place in it
/// and what belongs there. A resource is named as the client named it.
pub(super) fn edits(request: &McpRequest, era: Era, code: i64, error: &str) -> Vec<(Span, String)> {
    let shown = Some(shown_code(request, era, code)).filter(|shown| *shown != code).map(|shown| shown.to_string());
    let names_uri = matches!(request.operation, Operation::ReadResource(_)) && request.server.is_none();
    let mut edits = Vec::new();
    if shown.is_none() && !names_uri {
        return edits;
    }
    let asked = quoted(request.called_name());
    let mut has_data = false;
    // Scanned before, so it is an object.
    let _ = Members::for_each(error, |key, value| match key.as_ref() {
        "code" => edits.extend(shown.clone().map(|shown| (Span::of(value, error), shown))),
        "data" => {
            has_data = true;
            let _ = Members::for_each(value, |key, uri| {
                if names_uri && key == "uri" {
                    edits.push((Span::of(uri, error), asked.clone()));
                }
            });
        }
        _ => {}
    });
    let is_about_one = matches!(request.operation, Operation::ReadResource(_) | Operation::CompleteResource(_));
    if code == RESOURCE_NOT_FOUND && shown.is_some() && is_about_one && !has_data {
        let start = Span::of(&error[1..1], error);
        edits.push((start, format!(r#""data":{{"uri":{asked}}},"#)));
    }
    edits
}
