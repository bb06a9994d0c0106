use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::mcp::answer::UpstreamKind;
use crate::mcp::operation::ResourceUri;
use crate::mcp::splice::Splice;
use crate::mcp::test_request::request;

/// What a client hears of `result` that asked with `operation`.
fn heard(operation: Operation, server: Option<&str>, version: Version, result: &str) -> String {
    let mut request = request(operation, r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{}}"#);
    (request.server, request.version) = (server.map(Arc::from), version);
    let message = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#);
    let message = UpstreamMessage::scan(Bytes::from(message)).unwrap();
    let UpstreamKind::Result { result: span, .. } = message.kind else { panic!("no result") };
    let edits = edits(&request, "crm", &message, span);
    let mut splice = Splice::default();
    edits.iter().for_each(|(span, text)| splice.replace(*span, text.as_bytes()));
    let text = String::from_utf8(splice.apply(message.whole.as_bytes()).to_vec()).unwrap();
    text[r#"{"jsonrpc":"2.0","id":7,"result":"#.len()..text.len() - 1].to_owned()
}

fn tool() -> Operation {
    Operation::CallTool { tool: "crm__t".into() }
}

fn prompt() -> Operation {
    Operation::GetPrompt { prompt: "crm__p".into() }
}

fn read() -> Operation {
    Operation::ReadResource(ResourceUri { own: "a:b".into(), public: "crm+a:b".into(), upstream: None })
}

const NEWEST: Version = Version::V2025_11_25;

#[test]
fn uris_in_content_name_their_upstream_and_all_else_stays() {
    for (operation, result, expected) in [
        (
            tool(),
            r#"{ "content":[{"x":1.50,"uri":"a:b" ,"type":"resource_link"},{"type":"text","text":"\"resource"}],"uri":"a:b"}"#,
            r#"{ "content":[{"x":1.50,"uri":"crm+a:b" ,"type":"resource_link"},{"type":"text","text":"\"resource"}],"uri":"a:b"}"#,
        ),
        (
            tool(),
            r#"{"content":[{"type":"resource","resource":{"uri":"ui://w\u002fx","text":"uri"}}]}"#,
            r#"{"content":[{"type":"resource","resource":{"uri":"ui://crm/w/x","text":"uri"}}]}"#,
        ),
        (
            prompt(),
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:b"}}},{"content":[{"type":"resource_link","uri":"c:d"}]}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"crm+a:b"}}},{"content":[{"type":"resource_link","uri":"crm+c:d"}]}]}"#,
        ),
        (
            read(),
            r#"{"contents":[{"uri":"a:b","text":"1"},{"uri":"https://x/y"},{"blob":""}]}"#,
            r#"{"contents":[{"uri":"crm+a:b","text":"1"},{"uri":"https://x/y"},{"blob":""}]}"#,
        ),
    ] {
        assert_eq!(heard(operation.clone(), None, NEWEST, result), expected);
        assert_eq!(heard(operation, Some("crm"), NEWEST, result), result, "the path names the upstream");
    }
}

#[test]
fn odd_results_are_left_as_they_are() {
    for result in [
        r#"{"content":"\"resource"}"#,
        r#"{"content":[1,null,{"type":"resource"},{"type":"resource_link","uri":7},{"type":["resource_link"],"uri":"a:b"}]}"#,
        r#"{"x":"\"resource"}"#,
    ] {
        assert_eq!(heard(tool(), None, NEWEST, result), result);
    }
    assert_eq!(heard(read(), None, NEWEST, r#"{"contents":{}}"#), r#"{"contents":{}}"#);
}

#[test]
fn links_are_text_where_the_revision_has_none() {
    let result =
        r#"{"content":[{"type":"resource_link","uri":"a:b","name":"notes"},{"type":"resource_link","uri":"a:c"}]}"#;
    assert_eq!(
        heard(tool(), Some("crm"), Version::V2025_03_26, result),
        r#"{"content":[{"type":"text","text":"notes: a:b"},{"type":"text","text":"a:c"}]}"#
    );
    assert_eq!(
        heard(tool(), None, Version::V2025_03_26, result),
        r#"{"content":[{"type":"text","text":"notes: crm+a:b"},{"type":"text","text":"crm+a:c"}]}"#
    );
}

#[test]
fn audio_is_a_resource_where_the_revision_has_none() {
    let result = r#"{"content":[{"type":"audio","data":"AA==","mimeType":"audio/wav"},{"type":"text","text":"t"}]}"#;
    assert_eq!(
        heard(tool(), Some("crm"), Version::V2024_11_05, result),
        r#"{"content":[{"type":"resource","resource":{"uri":"audio:content","mimeType":"audio/wav","blob":"AA=="}},{"type":"text","text":"t"}]}"#
    );
    assert_eq!(heard(tool(), None, Version::V2025_03_26, result), result);
}
