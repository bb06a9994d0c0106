//! Questions of a server and their answers.

use portcullis_tests::Value;
use portcullis_tests::scripted::{Era, Scripted};

use super::{DOORS, METHODS, OWN, client, fill, pair, post, prepare, received, request, streams};

const QUESTION: &str = r#"{"x-top":{ODD},"params":{"message":"\u0041","requestedSchema":{"type":"object","properties":{},"x":{ODD}},"_meta":{ODD},"x":{ODD}},"id" : {ID} ,"method":"elicitation/create","jsonrpc":"2.0"}"#;
const REPLY: &str = " {\"x-top\":{ODD},\n\"result\" : {\"_meta\":{ODD},\"content\":{ODD},\"action\":\"accept\",\"x\":{ODD} },\"id\" : {ID} ,\"jsonrpc\":\"2.0\"}\n";
const REFUSAL: &str =
    r#"{"error":{"x":{ODD},"data":{ODD},"code":-1,"message":"\u0041"},"id":{ID},"jsonrpc":"2.0","x":{ODD}}"#;
const RESPONSE: &str = r#"{"result":{"content":[]},"id":{ID},"jsonrpc":"2.0"}"#;

#[test]
fn questions_of_the_handshake_keep_their_bytes() {
    let (upstream, gateway) = pair(Era::Legacy);
    let question = fill(QUESTION, &[]).replace("{ID}", r#""q\u0041""#);
    upstream.say("tools/call", &[&question, RESPONSE]);
    let call = fill(&request(Era::Legacy, &METHODS[0]), &[("{ID}", "1"), ("{TOKEN}", "1"), ("{NAME}", OWN.name)]);
    let client = client(&gateway, Era::Legacy, OWN);
    let heard = streams::messages(prepare(&client, Era::Legacy, &call).open(gateway.main).unwrap());
    let id = heard[0].parse::<Value>().unwrap()["id"].to_string();
    assert_eq!(heard[0], fill(QUESTION, &[("{ID}", &id)]));
}

#[test]
fn replies_of_the_handshake_keep_their_bytes() {
    let upstream = Scripted::legacy();
    let gateway = portcullis_tests::gateway::Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
        .listing(&["up__ask".to_owned()]);
    let client = client(&gateway, Era::Legacy, &DOORS[0]);
    for (turn, reply) in [REPLY, REFUSAL].into_iter().enumerate() {
        let params = portcullis_tests::json!({"name": "up__ask", "arguments": {}});
        let mut answer = client.open("tools/call", &params);
        let asked = answer.next_event().unwrap().expect("a question");
        assert_eq!(client.post(fill(reply, &[("{ID}", &asked["id"].to_string())])).status, 202);
        answer.next_event().unwrap().expect("the response");
        let seen = &upstream.replies()[turn];
        let raw = String::from_utf8(seen.raw.clone()).unwrap();
        assert_eq!(raw, fill(reply, &[("{ID}", &seen.body["id"].to_string())]));
    }
}

#[test]
fn rounds_without_a_handshake_keep_their_bytes() {
    let (upstream, gateway) = pair(Era::Modern);
    let client = client(&gateway, Era::Modern, OWN);
    let asking = r#"{"x":{ODD},"result":{"inputRequests":{"":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}},"x":{ODD}},"x":{ODD}},"b":{"params":{ODD},"method":"roots/list"}},"requestState" : {STATE} ,"resultType":"input_required","x":{ODD}},"id":{ID},"jsonrpc":"2.0"}"#;
    let own_state = r#""s\u0041\/""#;
    upstream.say("tools/call", &[&fill(asking, &[("{STATE}", own_state)])]);
    let call = request(Era::Modern, &METHODS[0]);
    // One that can be asked for its roots, too.
    let call = call.replace(r#"{ "elicitation" : {}"#, r#"{ "roots":{},"elicitation" : {}"#);
    let gaps = [("{ID}", "1"), ("{TOKEN}", "1"), ("{NAME}", OWN.name)];
    let asked = post(&client, Era::Modern, &fill(&call, &gaps)).text();
    let state = asked.parse::<Value>().unwrap()["result"]["requestState"].to_string();
    assert_ne!(state, own_state);
    assert_eq!(asked, fill(asking, &[("{ID}", "1"), ("{STATE}", &state)]));

    let again = call.replacen(
        r#""x-first":{ODD},"#,
        r#""inputResponses":{"b":{ODD},"":{"action":"accept","content":{ODD},"x":{ODD}}},"requestState" : {STATE},"x-first":{ODD},"#,
        1,
    );
    post(&client, Era::Modern, &fill(&again, &[gaps[0], gaps[1], gaps[2], ("{STATE}", &state)]));
    let (seen, raw) = received(&upstream, "tools/call");
    let id = seen.body["id"].to_string();
    let expected = fill(&again, &[("{ID}", &id), ("{TOKEN}", &id), ("{NAME}", OWN.name), ("{STATE}", own_state)]);
    assert_eq!(raw, expected);
}
