//! Streams over HTTP that close before their response are taken up again.

use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;
use portcullis_tests::scripted::Scripted;

#[test]
fn a_stream_that_is_closed_early_is_taken_up_again() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    let mut answer = gateway.client().open_call("up__resumed", &json!({}), &json!("t"));
    let mut heard = Vec::new();
    while let Some(message) = answer.next_event().unwrap() {
        heard.push(message);
    }
    let progress: Vec<_> = heard.iter().filter_map(|message| message["params"]["progress"].as_u64()).collect();
    assert_eq!(progress, [1, 2], "nothing is lost, and nothing comes twice");
    assert_eq!(heard.last().unwrap()["result"]["content"][0]["text"], "resumed");
    assert_eq!(upstream.executed("resumed").len(), 1);
    let resumptions = upstream.resumptions();
    let after = resumptions.iter().map(|seen| seen.headers.get("Last-Event-ID").unwrap());
    assert_eq!(after.map(|id| id.split(' ').next().unwrap()).collect::<Vec<_>>(), ["0", "1", "2"]);
    let session = upstream.executed("resumed")[0].headers.get("Mcp-Session-Id").unwrap().to_owned();
    assert!(resumptions.iter().all(|seen| seen.headers.get("Mcp-Session-Id") == Some(&session)));
}

#[test]
fn a_stream_that_cannot_be_taken_up_fails_its_call() {
    let upstream = Scripted::legacy();
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    let reply = gateway.client().call("up__unresumed", &json!({}));
    assert_eq!(reply.json()["error"]["code"], -31502, "{}", reply.text());
    assert_eq!((upstream.executed("unresumed").len(), upstream.resumptions().len()), (1, 1));
}
