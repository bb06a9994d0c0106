//! The demonstration server: an MCP server of revision 2026-07-28 that needs
//! no other program, so that the gateway has something to show at once.
//!
//! It is an upstream like any other, only without a wire: what works with it
//! works with a server of that revision.

mod tools;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Outgoing, Reply, Transport, TransportError};

/// The one revision served.
const REVISION: &str = "2026-07-28";
/// How long its answers to lists may be cached: they never change.
const TTL_MILLISECONDS: u64 = 24 * 60 * 60 * 1000;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INVALID_REQUEST: i64 = -32600;
/// MCP 2026-07-28, `UnsupportedProtocolVersionError`.
const UNSUPPORTED_VERSION: i64 = -32022;

/// A way to the demonstration server.
#[derive(Debug, Default)]
pub struct DemoTransport {
    closed: AtomicBool,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

/// A JSON-RPC error.
#[derive(Debug)]
struct RpcError {
    code: i64,
    message: String,
    data: Option<Value>,
}

// === impl DemoTransport ===

impl DemoTransport {
    /// The server, ready to answer.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn open(&self) -> Result<(), TransportError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(TransportError::Unreachable("the transport is closed".to_owned()));
        }
        Ok(())
    }
}

impl Transport for DemoTransport {
    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        Box::pin(async { self.open().map(|()| 1) })
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            self.open()?;
            Ok(Reply::Message { message: respond(outgoing.id, &outgoing.body), session: None })
        })
    }

    fn notify(&self, _body: Bytes, _headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async { self.open() })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.closed.store(true, Ordering::Relaxed) })
    }
}

// === impl RpcError ===

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

fn respond(id: u64, body: &[u8]) -> Bytes {
    let message = match result(body) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(RpcError { code, message, data: None }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
        Err(RpcError { code, message, data: Some(data) }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}})
        }
    };
    message.to_string().into()
}

fn result(body: &[u8]) -> Result<Value, RpcError> {
    let request: Request<'_> =
        serde_json::from_slice(body).map_err(|_| RpcError::new(INVALID_REQUEST, "Not a JSON-RPC request"))?;
    let params = request.params.map_or("{}", RawValue::get);
    let params: Params<'_> =
        serde_json::from_str(params).map_err(|_| RpcError::new(INVALID_PARAMS, "The parameters are malformed"))?;
    if let Some(version) = params.meta.and_then(|meta| meta.version)
        && version != REVISION
    {
        return Err(RpcError {
            code: UNSUPPORTED_VERSION,
            message: "Unsupported protocol version".to_owned(),
            data: Some(json!({"supported": [REVISION], "requested": version})),
        });
    }
    let mut result = match &*request.method {
        "server/discover" => cacheable(json!({
            "resultType": "complete",
            "supportedVersions": [REVISION],
            "capabilities": {"tools": {}},
            "instructions": "Demonstration tools. They run inside the gateway and change nothing.",
        })),
        "tools/list" => cacheable(json!({"resultType": "complete", "tools": tools::definitions()})),
        "tools/call" => {
            let name = params.name.ok_or_else(|| RpcError::new(INVALID_PARAMS, "The tool's name is missing"))?;
            let arguments = params.arguments.map_or("{}", RawValue::get);
            tools::call(&name, arguments)
                .ok_or_else(|| RpcError::new(INVALID_PARAMS, format!("Unknown tool: {name}")))?
        }
        _ => return Err(RpcError::new(METHOD_NOT_FOUND, "Method not found")),
    };
    result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": {
        "name": "portcullis-demo",
        "title": "Portcullis demonstration tools",
        "version": env!("CARGO_PKG_VERSION"),
    }});
    Ok(result)
}

fn cacheable(mut result: Value) -> Value {
    result["ttlMs"] = TTL_MILLISECONDS.into();
    result["cacheScope"] = "public".into();
    result
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::Questions;
    use super::*;

    async fn ask(method: &str, params: &str) -> Value {
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}"#);
        let outgoing = Outgoing {
            body: body.into(),
            id: 7,
            connection: 1,
            headers: HeaderMap::new(),
            footing: Arc::default(),
            deadline: Instant::now(),
            questions: Questions::None,
        };
        let Reply::Message { message, session: None } = DemoTransport::new().request(outgoing).await.unwrap() else {
            panic!("not one message");
        };
        let answer: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(answer["id"], 7);
        assert_eq!(answer["jsonrpc"], "2.0");
        answer
    }

    #[tokio::test]
    async fn discovery_names_the_revision_and_the_tools_capability() {
        let params = json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
        }});
        let result = &ask("server/discover", &params.to_string()).await["result"];
        assert_eq!(result["supportedVersions"], json!([REVISION]));
        assert_eq!(result["capabilities"], json!({"tools": {}}));
        assert_eq!(result["resultType"], "complete");
        assert_eq!(result["cacheScope"], "public");
        assert!(result["ttlMs"].is_u64());
        assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["version"].is_string());
    }

    #[tokio::test]
    async fn the_list_shows_harmless_tools_with_schemas() {
        let result = &ask("tools/list", "{}").await["result"];
        assert_eq!(result["resultType"], "complete");
        assert_eq!(result["cacheScope"], "public");
        let tools = result["tools"].as_array().unwrap();
        assert_eq!(
            tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>(),
            ["echo", "add", "time"]
        );
        for tool in tools {
            assert_eq!(tool["annotations"]["readOnlyHint"], true);
            assert!(jsonschema::validator_for(&tool["inputSchema"]).is_ok(), "{tool}");
            assert!(jsonschema::validator_for(&tool["outputSchema"]).is_ok(), "{tool}");
        }
    }

    #[tokio::test]
    async fn an_unknown_tool_is_an_error_of_the_protocol() {
        let error = &ask("tools/call", r#"{"name":"rm","arguments":{}}"#).await["error"];
        assert_eq!(error["code"], INVALID_PARAMS);
        assert_eq!(ask("tools/call", "{}").await["error"]["code"], INVALID_PARAMS);
        assert_eq!(ask("tools/call", "5").await["error"]["code"], INVALID_PARAMS);
    }

    #[tokio::test]
    async fn the_handshake_of_older_revisions_is_unknown() {
        assert_eq!(ask("initialize", "{}").await["error"]["code"], METHOD_NOT_FOUND);
    }

    #[tokio::test]
    async fn another_revision_is_refused_with_the_one_served() {
        let params = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}"#;
        let error = &ask("tools/list", params).await["error"];
        assert_eq!(error["code"], UNSUPPORTED_VERSION);
        assert_eq!(error["data"], json!({"supported": [REVISION], "requested": "2025-11-25"}));
    }

    #[tokio::test]
    async fn a_closed_transport_is_unreachable() {
        let demo = DemoTransport::new();
        assert_eq!(demo.connect().await, Ok(1));
        demo.close().await;
        assert!(matches!(demo.connect().await, Err(TransportError::Unreachable(_))));
    }
}
