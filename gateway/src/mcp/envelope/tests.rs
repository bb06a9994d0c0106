use super::*;
use crate::mcp::params::KNOWN;
use crate::mcp::reference::Reference;

fn scan(text: &str) -> Result<Envelope<'_>, EnvelopeError> {
    Envelope::scan(text)
}

fn refusal(text: &str) -> &'static str {
    match scan(text) {
        Err(EnvelopeError::NotJsonRpc { detail, .. }) => detail,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_call_is_read_with_its_places() {
    let text = r#"{"params":{"arguments":{"a":[1]},"name":"x__y","_meta":{"progressToken":7}},"id":"q","jsonrpc":"2.0","method":"tools/call"}"#;
    let envelope = scan(text).unwrap();
    assert_eq!(envelope.method(), Some("tools/call"));
    assert_eq!(&text[envelope.id.unwrap().range()], "\"q\"");
    let name = envelope.params.name.unwrap();
    assert_eq!((&*name.text, &text[name.span.range()]), ("x__y", "\"x__y\""));
    assert_eq!(&text[envelope.params.arguments.unwrap().range()], r#"{"a":[1]}"#);
    assert_eq!(&text[envelope.params.meta.progress_token.unwrap().range()], "7");
}

#[test]
fn a_completion_refers_to_a_prompt_or_to_a_resource() {
    for (reference, found) in [
        (r#"{"type":"ref/prompt","name":"x__y"}"#, Some((true, "x__y"))),
        (r#"{ "uri":"a:{b}", "type":"ref/\u0072esource" }"#, Some((false, "a:{b}"))),
        (r#"{"type":"ref/prompt","uri":"a:b"}"#, None),
        (r#"{"type":"ref/tool","name":"a"}"#, None),
        ("{}", None),
        ("[]", None),
        ("\"ref/prompt\"", None),
    ] {
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{"ref":{reference}}}}}"#);
        let params = scan(&text).unwrap().params;
        let read = params.reference().map(|read| (matches!(read, Reference::Prompt(_)), &*read.subject().text));
        assert_eq!(read, found, "{reference}");
    }
}

#[test]
fn a_member_given_twice_is_refused_however_it_is_spelt() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{},"params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":null,"progressToken":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null,"params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b","ur\u0069":"a:c"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"ref":{},"ref":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"ref":{"type":"ref/prompt","name":"a","name":"b"}}}"#,
    ] {
        assert!(refusal(text).contains("twice"), "{text}");
    }
}

#[test]
fn every_member_that_is_read_is_read_once() {
    for member in KNOWN {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"{member}":{{}}}}}}"#);
        assert!(scan(&text).is_ok(), "{text}");
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"{member}":1,"{member}":{{}}}}}}"#);
        assert!(refusal(&text).contains("twice"), "{text}");
    }
}

#[test]
fn what_is_not_json_rpc_says_why() {
    for (text, word) in [
        ("[]", "batches"),
        ("1", "object"),
        ("{}", "jsonrpc"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "`id`"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "`id`"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "`id`"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "`method`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "`method`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#, "`params`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":3}"#, "`params`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, "either"),
        (r#"{"jsonrpc":"2.0","result":{}}"#, "`id`"),
    ] {
        assert!(refusal(text).contains(word), "{text}: {}", refusal(text));
    }
}

#[test]
fn what_is_not_json_is_said_without_quoting_it() {
    for text in ["", "{", "{\"secret\": tru}", &"[".repeat(100_000), "{\"a\":1}x"] {
        match scan(text) {
            Err(EnvelopeError::NotJson(detail)) => assert!(!detail.contains("secret")),
            other => panic!("{other:?}"),
        }
    }
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
    assert!(matches!(scan(&deep), Err(EnvelopeError::NotJson(_))));
}

#[test]
fn notifications_and_responses_are_told_apart() {
    assert_eq!(scan(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap().id, None);
    let text = r#"{"jsonrpc":"2.0","id":0,"result":{"a":1}}"#;
    let Kind::Response(Said::Result(result)) = scan(text).unwrap().kind else { panic!("no result") };
    assert_eq!(&text[result.range()], r#"{"a":1}"#);
    let kind = scan(r#"{"jsonrpc":"2.0","id":0,"error":{}}"#).unwrap().kind;
    assert!(matches!(kind, Kind::Response(Said::Error(_))));
}

/// Some servers match member names whatever their case, and take the last.
#[test]
fn a_member_that_only_its_case_tells_from_a_known_one_is_refused() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argument\u017f":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"x","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{},"PARAMS":{"name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"ref":{"type":"ref/prompt","name":"a","NAME":"b"}}}"#,
    ] {
        assert!(refusal(text).contains("case"), "{text}");
    }
    assert!(scan(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"names":1,"x-Name":2}}"#).is_ok());
}
