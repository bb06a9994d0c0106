//! What must hold for any input, with `serde_json` as the judge.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::answer::{UpstreamKind, UpstreamMessage};
use super::envelope::{Envelope, Kind};
use super::json::Members;
use super::splice::{Span, Splice};
use super::sse;

/// Any JSON value, small.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Exact however they are parsed.
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Keys of messages, more often than others.
fn key() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "jsonrpc",
        "id",
        "method",
        "params",
        "result",
        "error",
        "name",
        "arguments",
        "_meta",
        "progressToken",
        "cursor",
        "requestId",
        "isError",
        "code",
        "io.modelcontextprotocol/protocolVersion",
    ];
    prop_oneof![4 => prop::sample::select(KNOWN).prop_map(str::to_owned), 1 => ".{0,6}"]
}

const RESULT_MEMBERS: &[&str] =
    &["resultType", "content", "isError", "structuredContent", "ttlMs", "cacheScope", "_meta"];

/// An object that is close to a message, in some spelling.
fn message() -> impl Strategy<Value = (Value, String)> {
    let object = prop::collection::vec((key(), value()), 0..6)
        .prop_map(|members| members.into_iter().collect::<Map<String, Value>>());
    let params =
        prop::collection::vec((key(), value()), 0..4).prop_map(|members| Value::Object(members.into_iter().collect()));
    (object, prop::option::of(params), 0..4, value(), any::<bool>()).prop_map(
        |(mut object, params, kind, value, pretty)| {
            if kind > 0 {
                object.retain(|key, _| !matches!(key.as_str(), "method" | "result" | "error"));
                object.insert("jsonrpc".to_owned(), json!("2.0"));
                object.insert("id".to_owned(), json!(7));
            }
            match kind {
                1 => object.insert("method".to_owned(), json!("tools/call")),
                2 => object.insert("result".to_owned(), json!({"isError": true, "content": value})),
                3 => object.insert("error".to_owned(), json!({"code": -1, "data": value})),
                _ => None,
            };
            if let Some(params) = params {
                object.insert("params".to_owned(), params);
            }
            let value = Value::Object(object);
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            (value, text.unwrap())
        },
    )
}

fn parsed(text: &str, span: Span) -> Value {
    serde_json::from_str(&text[span.range()]).unwrap()
}

proptest! {
    #[test]
    fn no_input_makes_a_scan_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}":,\\ue0-9a\n -]{0,80}"#) {
        for input in [bytes.as_slice(), text.as_bytes()] {
            let _ = Envelope::scan(&String::from_utf8_lossy(input));
            let _ = UpstreamMessage::scan(Bytes::copy_from_slice(input));
        }
    }

    #[test]
    fn an_envelope_says_what_a_parser_reads((value, text) in message()) {
        let Ok(envelope) = Envelope::scan(&text) else {
            return Ok(());
        };
        prop_assert_eq!(envelope.id.map(|id| parsed(&text, id)), value.get("id").cloned());
        if let Kind::Method(method) = &envelope.kind {
            prop_assert_eq!(Some(method.as_ref()), value["method"].as_str());
        }
        let params = &value["params"];
        prop_assert_eq!(envelope.params.name.as_ref().map(|name| &*name.text), params["name"].as_str());
        if let Some(name) = &envelope.params.name {
            prop_assert_eq!(&parsed(&text, name.span), &params["name"]);
        }
        let arguments = envelope.params.arguments.map(|span| parsed(&text, span));
        prop_assert_eq!(arguments.as_ref(), params.get("arguments").filter(|arguments| arguments.is_object()));
        if let Some(token) = envelope.params.meta.progress_token {
            prop_assert_eq!(&parsed(&text, token), &params["_meta"]["progressToken"]);
        }
    }

    #[test]
    fn a_valid_call_is_never_refused(name in ".{0,20}", id in any::<i64>(), arguments in value()) {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"a": arguments}}});
        prop_assert!(Envelope::scan(&call.to_string()).is_ok());
    }

    #[test]
    fn an_upstreams_message_is_what_a_parser_reads((value, text) in message()) {
        let Ok(message) = UpstreamMessage::scan(Bytes::from(text.clone())) else {
            return Ok(());
        };
        match &message.kind {
            UpstreamKind::Result { id, result, members } => {
                prop_assert_eq!(&parsed(&text, *id), &value["id"]);
                prop_assert_eq!(&parsed(&text, *result), &value["result"]);
                prop_assert_eq!(members.is_error, value["result"]["isError"] == true);
            }
            UpstreamKind::Error { error, code, .. } => {
                prop_assert_eq!(&parsed(&text, *error), &value["error"]);
                prop_assert_eq!(Some(*code), value["error"]["code"].as_i64());
            }
            UpstreamKind::Request { method, .. } | UpstreamKind::Notification { method, .. } => {
                prop_assert_eq!(Some(method.as_str()), value["method"].as_str());
            }
        }
    }

    #[test]
    fn without_what_only_stateless_clients_know_the_rest_of_a_result_is_left(
        members in prop::collection::hash_map(prop::sample::select(RESULT_MEMBERS), value(), 0..7),
        pretty: bool,
    ) {
        let mut message = json!({"jsonrpc": "2.0", "id": 1, "result": members});
        let text = if pretty { serde_json::to_string_pretty(&message) } else { serde_json::to_string(&message) }.unwrap();
        let scanned = UpstreamMessage::scan(Bytes::from(text.clone())).unwrap();
        let UpstreamKind::Result { members, .. } = scanned.kind else { panic!("{text}") };
        let mut rest = text;
        for cut in members.without_stateless.spans.iter().rev() {
            rest.replace_range(cut.clone(), "");
        }
        message["result"].as_object_mut().unwrap().retain(|key, value| match key.as_str() {
            "resultType" | "ttlMs" | "cacheScope" => false,
            "structuredContent" => value.is_object(),
            _ => true,
        });
        prop_assert_eq!(serde_json::from_str::<Value>(&rest).unwrap(), message);
    }

    #[test]
    fn what_is_cut_is_gone_and_the_rest_is_left(
        members in prop::collection::hash_map(key(), value(), 0..6),
        dropped in prop::sample::subsequence(&["id", "name", "params", "result", "_meta", "isError"][..], 0..6),
        pretty in any::<bool>(),
    ) {
        let mut object: Map<String, Value> = members.into_iter().collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let cuts = Members::cut(&text, |key| dropped.contains(&key)).unwrap();
        let mut rest = text;
        for cut in cuts.spans.iter().rev() {
            rest.replace_range(cut.clone(), "");
        }
        object.retain(|key, _| !dropped.contains(&key.as_str()));
        prop_assert_eq!(cuts.keeps_members, !object.is_empty());
        prop_assert_eq!(serde_json::from_str::<Value>(&rest).unwrap(), Value::Object(object));
    }

    #[test]
    fn edits_do_what_editing_by_hand_does(text in "[a-z]{0,40}", cuts in prop::collection::btree_set(0_usize..40, 0..6), with in "[A-Z]{0,4}") {
        let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        let (mut splice, mut by_hand) = (Splice::default(), text.clone());
        // By hand from the end, so that places stay; in the splice from the start.
        for pair in cuts.chunks_exact(2) {
            splice.replace(Span::of(&text[pair[0]..pair[1]], &text), with.as_bytes());
        }
        for pair in cuts.chunks_exact(2).rev() {
            by_hand.replace_range(pair[0]..pair[1], &with);
        }
        prop_assert_eq!(splice.apply(&Bytes::from(text)), by_hand);
    }

    #[test]
    fn events_do_not_depend_on_how_the_stream_is_cut(
        lines in prop::collection::vec("(data: ?|data|event: |: |id:|)[a-z{}\": ]{0,5}", 0..12),
        ends in prop::collection::vec(prop::sample::select(&["\n", "\r", "\r\n"][..]), 12),
        cut in 1_usize..8,
    ) {
        let stream: String = lines.iter().zip(&ends).flat_map(|(line, end)| [line.as_str(), end]).collect();
        let read = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let (mut decoder, mut events) = (sse::Decoder::default(), Vec::new());
            for chunk in chunks {
                decoder.push(&Bytes::copy_from_slice(chunk)).unwrap();
                events.extend(std::iter::from_fn(|| decoder.next_event()));
            }
            events
        };
        let whole = read(&mut std::iter::once(stream.as_bytes()));
        prop_assert_eq!(read(&mut stream.as_bytes().chunks(cut)), whole);
    }

    #[test]
    fn what_is_written_as_an_event_is_read_back((value, text) in message()) {
        let mut decoder = sse::Decoder::default();
        decoder.push(&sse::encode(text.as_bytes())).unwrap();
        let event = decoder.next_event().unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&event).unwrap(), value);
        prop_assert_eq!(decoder.next_event(), None);
    }
}
