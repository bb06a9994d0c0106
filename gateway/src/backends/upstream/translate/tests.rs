use std::sync::Arc;

use super::super::tests::{request, session, tool};
use super::*;
use crate::backends::offer::Offer;
use crate::backends::transport::demo::DemoTransport;
use crate::mcp::version::Version;

fn link(era: Era) -> Link {
    Link {
        transport: DemoTransport::new(),
        place: None,
        era,
        footing: Arc::default(),
        connection: 0,
        offer: Arc::new(Offer::none(era)),
        level: Arc::default(),
        mark: None,
    }
}

fn callee(definition: &str) -> Callee {
    Callee::Tool(Arc::new(tool(definition)))
}

fn sent(client: Version, server: Era, body: &str) -> String {
    let sent = call(&request(client, body), Capabilities::NONE, &callee(r#"{"name":"find"}"#), &link(server), 42, None);
    String::from_utf8(sent.to_vec()).unwrap()
}

fn heard(client: Version, server: Era, message: &'static str) -> Result<String, Rejection> {
    let request = request(client, r#"{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"crm__find"}}"#);
    let message = UpstreamMessage::scan(Bytes::from_static(message.as_bytes())).unwrap();
    answer(&request, server, "crm", &[], &message).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

const LEGACY: Version = Version::V2025_11_25;

#[test]
fn between_peers_of_one_era_only_id_name_and_token_change() {
    for (version, era) in [(LEGACY, Era::Legacy), (Version::MODERN, Era::Modern)] {
        assert_eq!(
            sent(
                version,
                era,
                r#"{ "params":{"x":1.50,"arguments":{"n":1e400,"é":"\u00e9"}, "_meta" : {"progressToken":"p","y":0},"name":"crm\u005f_find"}, "method":"tools/call","id":"q","jsonrpc":"2.0" }"#
            ),
            r#"{ "params":{"x":1.50,"arguments":{"n":1e400,"é":"\u00e9"}, "_meta" : {"progressToken":42,"y":0},"name":"find"}, "method":"tools/call","id":42,"jsonrpc":"2.0" }"#
        );
        let result =
            r#"{"id":42, "result" : {"z":1.0, "resultType":"complete", "structuredContent":[1]},"jsonrpc":"2.0"}"#;
        assert_eq!(heard(version, era, result).unwrap(), result.replace("42", "\"q\""));
    }
}

#[test]
fn a_legacy_servers_meta_holds_nothing_of_the_stateless_revision() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28", "a" : "\u00e9","progressToken":5 ,"io.modelcontextprotocol/clientCapabilities":{},"\u0062":1.0}}}"#;
    assert_eq!(
        sent(Version::MODERN, Era::Legacy, body),
        r#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"find","_meta":{ "a" : "\u00e9","progressToken":42,"\u0062":1.0}}}"#
    );
}

#[test]
fn a_stateless_server_gets_the_meta_it_needs_once() {
    for meta in [
        "",
        r#","_meta":{}"#,
        r#","_meta":null"#,
        r#","_meta":{ "a":1,"progressToken":"t" }"#,
        r#","_meta":{"io.modelcontextprotocol/clientInfo":{"name":"forged"}}"#,
        r#","_meta":{"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"a":1}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"n"{meta}}}}}"#);
        let mut request = request(LEGACY, &body);
        request.session = Some(session(Some(r#"{"name":"c"}"#)));
        let sent = call(&request, Capabilities::NONE, &callee(r#"{"name":"find"}"#), &link(Era::Modern), 42, None);
        let sent = String::from_utf8(sent.to_vec()).unwrap();
        let value: Value = serde_json::from_str(&sent).unwrap();
        let got = &value["params"]["_meta"];
        assert_eq!(got["io.modelcontextprotocol/protocolVersion"], "2026-07-28", "{sent}");
        assert_eq!(got["io.modelcontextprotocol/clientCapabilities"], serde_json::json!({}));
        assert_eq!(got["io.modelcontextprotocol/clientInfo"]["name"], "c");
        assert_eq!(got["progressToken"].as_u64(), meta.contains("Token").then_some(42));
        assert_eq!(got["a"].as_u64(), meta.contains("\"a\"").then_some(1));
        for member in ["_meta", "clientInfo", "clientCapabilities", "protocolVersion"] {
            assert_eq!(sent.matches(&format!("{member}\":")).count(), 1, "{sent}");
        }
    }
}

#[test]
fn a_legacy_client_hears_nothing_it_does_not_know() {
    let result = r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":"complete", "content" : [1.0],"ttlMs":5,"structuredContent":[1] ,"_meta":{"\u0061":1}}}"#;
    assert_eq!(
        heard(LEGACY, Era::Modern, result).unwrap(),
        r#"{"jsonrpc":"2.0","id":"q","result":{ "content" : [1.0] ,"_meta":{"\u0061":1}}}"#
    );
    let object = r#"{"jsonrpc":"2.0","id":42,"result":{"content":[],"structuredContent":{"a":1}}}"#;
    assert!(heard(LEGACY, Era::Modern, object).unwrap().contains("structuredContent"));
    let asks = r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":"input_required","inputRequests":{}}}"#;
    assert!(matches!(heard(LEGACY, Era::Modern, asks), Err(Rejection::CannotBridge { .. })));
    assert!(heard(Version::MODERN, Era::Modern, asks).is_ok());
}

#[test]
fn a_stateless_client_hears_that_a_result_is_complete() {
    for (result, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":42,"result":{ }}"#,
            r#"{"jsonrpc":"2.0","id":"q","result":{"resultType":"complete" }}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":42,"result":{"content":[]}}"#,
            r#"{"jsonrpc":"2.0","id":"q","result":{"resultType":"complete","content":[]}}"#,
        ),
    ] {
        assert_eq!(heard(Version::MODERN, Era::Legacy, result).unwrap(), expected);
    }
}

#[test]
fn error_codes_a_stateless_client_does_not_know_become_ones_it_knows() {
    for (code, shown) in [
        ("-32002", "-32602"),
        ("-32042", "-32603"),
        ("-32601", "-32601"),
        // What servers with a handshake mean by these is their own.
        ("-32020", "-32603"),
        ("-32022", "-32603"),
        ("-32099", "-32603"),
        ("-32019", "-32019"),
        ("-32100", "-32100"),
    ] {
        for id in ["42", "null"] {
            let error = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{ "data":{{"code":1}},"code":{code} ,"message":"m"}}}}"#
            );
            let expected = format!(
                r#"{{"jsonrpc":"2.0","id":"q","error":{{ "data":{{"code":1}},"code":{shown} ,"message":"m"}}}}"#
            );
            assert_eq!(heard(Version::MODERN, Era::Legacy, error.clone().leak()).unwrap(), expected);
            assert_eq!(heard(LEGACY, Era::Legacy, error.leak()).unwrap(), expected.replace(shown, code));
        }
    }
}

#[test]
fn a_call_names_itself_in_headers_for_stateless_servers_only() {
    let tool = callee(
        r#"{"name":"fünd","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"boolean","x-mcp-header":"B"}}}}"#,
    );
    let request = request(LEGACY, r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n"}}"#);
    let arguments = serde_json::json!({"a": "grün", "b": null});
    let headers = super::headers(&request, &tool, &link(Era::Modern), Some(&arguments));
    assert_eq!(headers["mcp-method"], "tools/call");
    assert_eq!(headers["mcp-name"], "=?base64?ZsO8bmQ=?=");
    assert_eq!(headers["mcp-param-a"], "=?base64?Z3LDvG4=?=");
    assert!(!headers.contains_key("mcp-param-b"));
    assert_eq!(headers["x-request-id"], "r1");
    let headers = super::headers(&request, &tool, &link(Era::Legacy), Some(&arguments));
    assert!(!headers.contains_key("mcp-name") && !headers.contains_key("mcp-param-a"));
}

fn read(client: Version, server: Option<&str>, message: &str) -> String {
    let body = r#"{"jsonrpc":"2.0","id":"q","method":"resources/read","params":{"uri":"crm+a:b"}}"#;
    let uri = crate::backends::uri::of_all(&"crm+a:b".into());
    let mut request = *crate::mcp::test_request::request(Operation::ReadResource(uri), body);
    (request.version, request.server) = (client, server.map(Arc::from));
    let message = UpstreamMessage::scan(Bytes::copy_from_slice(message.as_bytes())).unwrap();
    String::from_utf8(answer(&request, Era::Legacy, "crm", &[], &message).unwrap().to_vec()).unwrap()
}

#[test]
fn a_resource_is_read_by_the_uri_it_has_at_its_server() {
    let body = r#"{"jsonrpc":"2.0","id":"q","method":"resources/read","params":{"x":1.0, "uri" : "crm+a:\u0062"}}"#;
    let uri = crate::backends::uri::of_all(&"crm+a:b".into());
    let request = *crate::mcp::test_request::request(Operation::ReadResource(uri), body);
    let callee = Callee::Resource("a:b".into());
    let sent = call(&request, Capabilities::NONE, &callee, &link(Era::Legacy), 42, None);
    assert_eq!(sent, r#"{"jsonrpc":"2.0","id":42,"method":"resources/read","params":{"x":1.0, "uri" : "a:b"}}"#);
    let headers = super::headers(&request, &callee, &link(Era::Modern), None);
    assert_eq!(headers["mcp-method"], "resources/read");
    assert_eq!(headers["mcp-name"], "a:b");
}

#[test]
fn a_completion_names_no_header_and_only_its_reference_changes() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"crm__p"},"argument":{"name":"name","value":"crm__p"}}}"#;
    let operation = Operation::CompletePrompt { prompt: "crm__p".into() };
    let request = *crate::mcp::test_request::request(operation, body);
    let callee = Callee::Prompt("p".into());
    let sent = call(&request, Capabilities::NONE, &callee, &link(Era::Legacy), 42, None);
    let expected = body.replacen("crm__p", "p", 1).replace("\"id\":1", "\"id\":42");
    assert_eq!(sent, expected.as_str());
    assert!(!super::headers(&request, &callee, &link(Era::Modern), None).contains_key("mcp-name"));
}

#[test]
fn a_resource_that_is_read_is_complete_private_and_stale_for_a_stateless_client() {
    assert_eq!(
        read(Version::MODERN, Some("crm"), r#"{"jsonrpc":"2.0","id":42,"result":{"contents":[]}}"#),
        r#"{"jsonrpc":"2.0","id":"q","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","contents":[]}}"#
    );
}

#[test]
fn a_resource_that_is_not_found_is_named_as_the_client_named_it() {
    let not_found = r#"{"jsonrpc":"2.0","id":42,"error":{"code":-32002,"message":"m","data":{"uri":"a:b"}}}"#;
    assert_eq!(
        read(LEGACY, None, not_found),
        r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32002,"message":"m","data":{"uri":"crm+a:b"}}}"#
    );
    assert_eq!(read(LEGACY, Some("crm"), not_found), not_found.replace("42", "\"q\""));
    assert_eq!(
        read(Version::MODERN, None, r#"{"jsonrpc":"2.0","id":42,"error":{"code":-32002,"message":"m"}}"#),
        r#"{"jsonrpc":"2.0","id":"q","error":{"data":{"uri":"crm+a:b"},"code":-32602,"message":"m"}}"#
    );
}
