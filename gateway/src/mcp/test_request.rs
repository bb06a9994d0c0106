//! Decoded requests for tests of what stands behind `decode`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use portcullis_policies::Principal;
use tokio::time::Instant;

use super::capabilities::Capabilities;
use super::envelope::Envelope;
use super::operation::{ItemKind, Operation};
use super::request::{Filter, McpRequest};
use super::version::Version;
use crate::record::CallRecord;

/// How long the requests made here may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The request that a message stands for.
pub(crate) fn request(operation: Operation, message: &str) -> Box<McpRequest> {
    let envelope = Envelope::scan(message).unwrap();
    Box::new(McpRequest {
        operation,
        body: message.into(),
        id: envelope.id,
        params: envelope.params,
        version: Version::NEWEST_LEGACY,
        session: None,
        server: None,
        principal: Arc::new(Principal::new("apiKey:ci").with_roles(["ci".to_owned()])),
        client_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        takes_stream: true,
        abilities: Capabilities::NONE,
        deadline: Instant::now() + TIMEOUT,
        timeout: TIMEOUT,
        mirrored: Some(HeaderMap::new()),
        record: Arc::new(CallRecord::new(HeaderValue::from_static("r1"), None)),
        limits: Arc::default(),
        filter: Filter::new(|_| true),
        refusal: None,
    })
}

/// A call of a tool with arguments.
pub(crate) fn call_with(tool: &str, arguments: &str) -> Box<McpRequest> {
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    );
    request(Operation::CallTool { tool: tool.into() }, &message)
}

/// A call of a tool.
pub(crate) fn call(tool: &str) -> Box<McpRequest> {
    call_with(tool, "{}")
}

/// `tools/list`.
pub(crate) fn list() -> Box<McpRequest> {
    request(Operation::List(ItemKind::Tool), r#"{"jsonrpc":"2.0","id":"q","method":"tools/list"}"#)
}
