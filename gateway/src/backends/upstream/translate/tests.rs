use super::super::tests::{request, session, tool};
use super::*;
use crate::mcp::version::Version;

fn link(era: Era) -> Link {
    Link { era, version: HeaderValue::from_static("x"), session: None, connection: 0 }
}

fn sent(client: Version, server: Era, body: &str) -> String {
    let sent = call(&request(client, body), &tool(r#"{"name":"find"}"#), &link(server), 42);
    String::from_utf8(sent.to_vec()).unwrap()
}

fn heard(client: Version, server: Era, message: &'static str) -> Result<String, Rejection> {
    let request = request(client, r#"{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"crm__find"}}"#);
    let message = UpstreamMessage::scan(Bytes::from_static(message.as_bytes())).unwrap();
    answer(&request, server, &message).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
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
        let sent = call(&request, &tool(r#"{"name":"find"}"#), &link(Era::Modern), 42);
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
    for (code, shown) in [("-32002", "-32602"), ("-32042", "-32603"), ("-32601", "-32601")] {
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
    let tool = tool(
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
