//! The REST flavour: `GET …/tools` and `POST …/tools/invoke`, carried as the
//! JSON-RPC they stand for. What tools say reaches the client as it was written.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::backends::answer::Answer;
use crate::body::Body;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::splice::Span;
use crate::rejection::Rejection;

/// `tools/list`, as `GET …/tools` asks for it.
pub(super) const LIST: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"tools/list"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invocation<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Invoked<'a> {
    success: bool,
    result: Option<&'a RawValue>,
    error: Option<&'a str>,
}

#[derive(Deserialize, Serialize)]
struct Tools<'a> {
    #[serde(borrow)]
    tools: Vec<Tool<'a>>,
}

/// Read with MCP's name of the schema, written with this flavour's.
#[derive(Deserialize, Serialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, default)]
    description: Option<&'a RawValue>,
    #[serde(borrow, default, rename(deserialize = "inputSchema"))]
    input_schema: Option<&'a RawValue>,
}

/// The `tools/call` of an invocation.
pub(super) fn call(body: &[u8]) -> Result<Bytes, Rejection> {
    const SHAPE: Rejection = Rejection::InvalidRequest { detail: "the body must be {\"name\", \"arguments\"}" };
    let invocation: Invocation<'_> = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            SHAPE
        } else {
            let place = (error.line(), error.column());
            Rejection::NotJson { detail: format!("not JSON (line {}, column {})", place.0, place.1) }
        }
    })?;
    // An array of two would be read as well.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(SHAPE);
    }
    let arguments = invocation.arguments.map_or("{}", RawValue::get);
    let name = invocation.name.get();
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{{"name":{name},"arguments":{arguments}}}}}"#
    );
    Ok(message.into())
}

/// `{"tools": [{name, description, input_schema}]}`.
pub(super) fn tools(answer: Answer) -> Result<Response<Body>, Rejection> {
    let message = scanned(answer)?;
    let UpstreamKind::Result { result, .. } = message.kind else { return Err(Rejection::Internal) };
    let tools: Tools<'_> = serde_json::from_str(message.text(result)).map_err(|_| Rejection::Internal)?;
    respond(&tools)
}

/// `{"success", "result", "error"}`.
pub(super) fn invoked(answer: Answer) -> Result<Response<Body>, Rejection> {
    let message = scanned(answer)?;
    let raw = |span: Span| serde_json::from_str::<&RawValue>(message.text(span)).map_err(|_| Rejection::Internal);
    match &message.kind {
        UpstreamKind::Result { result, members, .. } => {
            let error = members.is_error.then(|| said(message.text(*result)));
            respond(&Invoked { success: error.is_none(), result: Some(raw(*result)?), error: error.as_deref() })
        }
        UpstreamKind::Error { error, .. } => {
            let error: Failure = serde_json::from_str(message.text(*error)).unwrap_or_default();
            respond(&Invoked { success: false, result: None, error: Some(&error.message) })
        }
        UpstreamKind::Notification { .. } | UpstreamKind::Request { .. } => Err(Rejection::Internal),
    }
}

#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

/// The text of a result.
fn said(result: &str) -> String {
    #[derive(Default, Deserialize)]
    struct Content {
        #[serde(default)]
        content: Vec<Block>,
    }
    #[derive(Deserialize)]
    struct Block {
        #[serde(default)]
        text: String,
    }
    let content: Content = serde_json::from_str(result).unwrap_or_default();
    let texts: Vec<String> =
        content.content.into_iter().map(|block| block.text).filter(|text| !text.is_empty()).collect();
    texts.join("\n")
}

/// The answer's one message.
fn scanned(answer: Answer) -> Result<UpstreamMessage, Rejection> {
    let Answer::Message { message, .. } = answer else { return Err(Rejection::Internal) };
    UpstreamMessage::scan(message).map_err(|_| Rejection::Internal)
}

fn respond<T: Serialize>(body: &T) -> Result<Response<Body>, Rejection> {
    let body = serde_json::to_vec(body).map_err(|_| Rejection::Internal)?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
