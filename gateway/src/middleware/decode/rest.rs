//! The REST flavour: `GET …/tools` and `POST …/tools/invoke`, carried as the
//! JSON-RPC they stand for.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::backends::answer::Answer;
use crate::body::Body;
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

/// The `tools/call` of an invocation.
pub(super) fn call(body: &[u8]) -> Result<Bytes, Rejection> {
    let invocation: Invocation<'_> = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            Rejection::InvalidRequest { detail: "the body must be {\"name\", \"arguments\"}" }
        } else {
            let place = (error.line(), error.column());
            Rejection::NotJson { detail: format!("not JSON (line {}, column {})", place.0, place.1) }
        }
    })?;
    let arguments = invocation.arguments.map_or("{}", RawValue::get);
    let name = invocation.name.get();
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{{"name":{name},"arguments":{arguments}}}}}"#
    );
    Ok(message.into())
}

/// `{"tools": [{name, description, input_schema}]}`.
pub(super) fn tools(answer: Answer) -> Response<Body> {
    let result = match result(answer) {
        Ok(result) => result,
        Err(response) => return response,
    };
    let tools = result["tools"].as_array().into_iter().flatten().map(|tool| {
        json!({
            "name": tool["name"],
            "description": tool["description"],
            "input_schema": tool["inputSchema"],
        })
    });
    respond(&json!({"tools": tools.collect::<Vec<_>>()}))
}

/// `{"success", "result", "error"}`.
pub(super) fn invoked(answer: Answer) -> Response<Body> {
    let result = match result(answer) {
        Ok(result) => result,
        Err(response) => return response,
    };
    if result["isError"] != true {
        return respond(&json!({"success": true, "result": result, "error": null}));
    }
    let blocks = result["content"].as_array().into_iter().flatten();
    let text: Vec<_> = blocks.filter_map(|block| block["text"].as_str()).collect();
    respond(&json!({"success": false, "result": result, "error": text.join("\n")}))
}

/// The result, or the whole response for an error in its stead.
fn result(answer: Answer) -> Result<Value, Response<Body>> {
    let failed = |why: &Value| respond(&json!({"success": false, "result": null, "error": why}));
    let Answer::Message { message, .. } = answer else {
        return Err(failed(&json!("no answer")));
    };
    let mut message: Value = serde_json::from_slice(&message).unwrap_or_default();
    match message.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(failed(&message["error"]["message"])),
    }
}

fn respond(body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
