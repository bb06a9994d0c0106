//! Messages between peers of one era keep their bytes, outside what must be
//! renamed: ids, progress tokens, names, URIs and sealed states. Both directions
//! are compared as text, in every method that is carried to an upstream.

mod lists;
mod odd;
mod questions;
mod streams;

use portcullis_tests::client::{Client, MODERN};
use portcullis_tests::gateway::Gateway;
use portcullis_tests::http::{Reply, Request};
use portcullis_tests::json;
use portcullis_tests::scripted::{Era, Scripted, Seen};

use self::odd::{ODD, odd, odd_arguments};

/// Ids as clients may write them.
const IDS: [&str; 6] = ["0", "-1", "12345678901234567890", r#""a\u0041\"""#, r#""""#, r#""7""#];

/// Progress tokens as clients may write them.
const TOKENS: [&str; 4] = [r#""t\u0041""#, "7", "-5", r#""""#];

/// What a stateless request has in its `_meta`.
const STATELESS: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{ "elicitation" : {},"x":1.0},"#;

/// A method, with its parameters but for what all have, and a result.
struct Method {
    name: &'static str,
    params: &'static str,
    result: &'static str,
}

const METHODS: [Method; 5] = [
    Method {
        name: "tools/call",
        params: r#""name":{NAME}, "arguments": {ARGUMENTS} ,"x-task":{ODD}"#,
        result: r#""content":[{"type":"x-novel","data":{ODD}},{"type":"text","text":"a\u0041","annotations":{ODD}},
            {"type":"resource_link","x":{ODD},"uri":{URI},"name":"n"}],"structuredContent":{ODD},"isError":false"#,
    },
    Method {
        name: "prompts/get",
        params: r#""arguments":{ODD},"name":{NAME}"#,
        result: r#""description":"\u0041","messages":[{"role":"user","content":{"type":"x-novel","data":{ODD}},"x":{ODD}},
            {"content":{"x":{ODD},"type":"resource","resource":{"uri":{URI},"text":"t"}},"role":"assistant"}]"#,
    },
    Method {
        name: "resources/read",
        params: r#""uri":{URI},"x-range":{ODD}"#,
        result: r#""contents":[{"uri":{URI},"text":"\u0041","x":{ODD}},{"blob":"AA==","uri":{URI}}]"#,
    },
    Method {
        name: "completion/complete",
        params: r#""ref":{"x":{ODD},"type":"ref/prompt","name":{NAME}},"argument":{"name":"a","value":"\u0041","x":{ODD}},"context":{ODD}"#,
        result: r#""completion":{"values":["\u0041"],"total":1.0,"hasMore":false,"x":{ODD}}"#,
    },
    Method {
        name: "completion/complete",
        params: r#""argument":{"name":"a","value":""},"ref":{"uri":{URI},"type":"ref/resource","x":{ODD}}"#,
        result: r#""completion":{"values":[],"x":{ODD}}"#,
    },
];

/// How a path names what the upstream calls `verbatim` and `odd:thing`.
struct Door {
    path: &'static str,
    name: &'static str,
    uri: &'static str,
}

const DOORS: [Door; 2] = [
    Door { path: "/mcp", name: r#""up__verbatim""#, uri: r#""up+odd:thing""# },
    Door { path: "/servers/up/mcp", name: r#""verbatim""#, uri: r#""odd:thing""# },
];

/// As the upstream itself names them.
const OWN: &Door = &DOORS[1];

/// A server that says what a test wants, and a gateway that knows what it has.
fn pair(era: Era) -> (Scripted, Gateway) {
    let upstream = if era == Era::Legacy { Scripted::legacy() } else { Scripted::modern() };
    upstream.say("prompts/list", &[r#"{"jsonrpc":"2.0","id":{ID},"result":{"prompts":[{"name":"verbatim"}]}}"#]);
    for method in ["prompts/get", "resources/read", "completion/complete", "tools/call"] {
        upstream.say(method, &[r#"{"jsonrpc":"2.0","id":{ID},"result":{}}"#]);
    }
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    (upstream, gateway.listing(&["up__verbatim".to_owned()]))
}

/// A client of the era; one of the handshake has a session of its newest revision.
fn client(gateway: &Gateway, era: Era, door: &Door) -> Client {
    let client = gateway.client().at(door.path);
    match era {
        Era::Legacy => client.initialize_able("2025-11-25", &json!({"elicitation": {}})).1,
        Era::Modern => client,
    }
}

/// A message with its gaps filled.
fn fill(template: &str, gaps: &[(&str, &str)]) -> String {
    let odd = template.replace("{ODD}", &odd()).replace("{ARGUMENTS}", &odd_arguments());
    gaps.iter().fold(odd, |text, (gap, with)| text.replace(gap, with))
}

/// A request with odd members at every level.
fn request(era: Era, method: &Method) -> String {
    let stateless = if era == Era::Modern { STATELESS } else { "" };
    let Method { name, params, .. } = method;
    format!(
        "\n {{ \"x-top\" : {{ODD}},\t\"params\":{{\"x-first\":{{ODD}},{params},\"_meta\": {{\"x\":{{ODD}},{stateless}\"progressToken\"\n: {{TOKEN}} ,\"\":null}},\"x-last\" :{{ODD}} }} ,\n\n\"id\" : {{ID}},\"method\":\"{name}\",\"jsonrpc\":\"2.0\"}} \n"
    )
}

/// A response with odd members at every level.
fn response(era: Era, method: &Method) -> String {
    let stateless = if era == Era::Modern { "\"ttlMs\" : 5e0,\"resultType\":\"complete\"," } else { "" };
    let Method { result, .. } = method;
    format!(
        " {{\"result\" :{{ \"x-first\":{{ODD}},\"x-strange\":[1e400,-1E-999,\"\\ud800\"],{stateless}{result},\"_meta\":{{ODD}},\"x-last\":{{ODD}} }} ,\"x-top\":{{ODD}},\n\"id\" : {{ID}} ,\"jsonrpc\":\"2.0\" }}\n"
    )
}

/// Posts a message as it is, with the headers that its era wants.
fn prepare(client: &Client, era: Era, body: &str) -> Request {
    if era == Era::Legacy {
        return client.prepare(body);
    }
    let read: portcullis_tests::Value = body.parse().unwrap();
    let mut request = client.prepare_modern_body(&read).body(body);
    request.headers.set("MCP-Protocol-Version", MODERN);
    request
}

fn post(client: &Client, era: Era, body: &str) -> Reply {
    client.send(&prepare(client, era, body))
}

/// The one message of this method, as the upstream received it.
fn received(upstream: &Scripted, method: &str) -> (Seen, String) {
    let seen = upstream.seen(method).pop().expect("it came through");
    let raw = String::from_utf8(seen.raw.clone()).unwrap();
    (seen, raw)
}

fn assert_keeps_its_bytes(era: Era) {
    let (upstream, gateway) = pair(era);
    for door in &DOORS {
        let client = client(&gateway, era, door);
        for (turn, method) in METHODS.iter().enumerate() {
            let (id, token) = (IDS[turn % IDS.len()], TOKENS[turn % TOKENS.len()]);
            let (request, response) = (request(era, method), response(era, method));
            upstream.say(method.name, &[&fill(&response, &[("{URI}", OWN.uri)])]);
            let named = |id: &str, token: &str, door: &Door| {
                fill(&request, &[("{ID}", id), ("{TOKEN}", token), ("{NAME}", door.name), ("{URI}", door.uri)])
            };
            let reply = post(&client, era, &named(id, token, door));

            let (seen, raw) = received(&upstream, method.name);
            let (own_id, own_token) = (&seen.body["id"], &seen.body["params"]["_meta"]["progressToken"]);
            assert_eq!(raw, named(&own_id.to_string(), &own_token.to_string(), OWN), "{} there", method.name);
            assert_eq!(reply.text(), fill(&response, &[("{ID}", id), ("{URI}", door.uri)]), "{} back", method.name);
        }
    }
}

#[test]
fn requests_and_results_of_the_handshake_keep_their_bytes() {
    assert_keeps_its_bytes(Era::Legacy);
}

#[test]
fn requests_and_results_without_a_handshake_keep_their_bytes() {
    assert_keeps_its_bytes(Era::Modern);
}

fn assert_errors_keep_their_bytes(era: Era) {
    let (upstream, gateway) = pair(era);
    let client = client(&gateway, era, &DOORS[0]);
    for (turn, data) in ODD.iter().enumerate() {
        let error = format!(
            "{{\"error\":{{\"x\":{data},\"data\" : {data},\"code\":-{turn},\"message\":\"\\u0041\"}},\"x-top\":1.0,\"jsonrpc\":\"2.0\",\"id\":{{ID}}}}"
        );
        upstream.say("tools/call", &[&error]);
        let id = IDS[turn % IDS.len()];
        let body = fill(&request(era, &METHODS[0]), &[("{ID}", id), ("{TOKEN}", "1"), ("{NAME}", DOORS[0].name)]);
        assert_eq!(post(&client, era, &body).text(), error.replace("{ID}", id));
    }
}

#[test]
fn errors_of_the_handshake_keep_their_bytes() {
    assert_errors_keep_their_bytes(Era::Legacy);
}

#[test]
fn errors_without_a_handshake_keep_their_bytes() {
    assert_errors_keep_their_bytes(Era::Modern);
}

#[test]
fn what_is_long_or_deep_passes_up_to_the_limit() {
    for era in [Era::Legacy, Era::Modern] {
        let (upstream, gateway) = pair(era);
        let client = client(&gateway, era, OWN);
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let meta = if era == Era::Modern { STATELESS } else { "" };
        let call = |arguments: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"verbatim","arguments":{{"a":{arguments}}},"_meta":{{{meta}"x":0}}}}}}"#
            )
        };
        let answer = |text: &str| format!(r#"{{"jsonrpc":"2.0","id":{{ID}},"result":{{"content":[],"x":{text}}}}}"#);
        // Message, parameters and arguments are three levels; the server here takes 127.
        let long = format!("\"{}\"", "é\\u0041".repeat(40_000));
        for (there, back) in [(nested(120), nested(2000)), (long.clone(), long.clone())] {
            upstream.say("tools/call", &[&answer(&back)]);
            let reply = post(&client, era, &call(&there));
            let (_, raw) = received(&upstream, "tools/call");
            assert!(raw.contains(&there), "{} bytes of {}", raw.len(), there.len());
            assert_eq!(reply.text(), answer(&back).replace("{ID}", "1"));
        }
        let before = upstream.seen("tools/call").len();
        let too_deep = call(&nested(126));
        let refused = client.send(&client.prepare(too_deep.as_str())).json();
        assert_eq!(refused["error"]["code"], -32700, "{refused}");
        assert_eq!(upstream.seen("tools/call").len(), before);
    }
}
