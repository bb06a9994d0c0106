//! Two gateways behind a plain round-robin serve as one: whatever a client
//! does, each of its requests may come in at either, and what belongs to one of
//! them reaches it.

mod death;
mod sdk;

use portcullis_tests::balancer::Balancer;
use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, KEY, sha256, standard};
use portcullis_tests::http::{Answer, Reply};
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json, upstream};

use crate::questions::{asking, parked, pinned, started};
use crate::tasks::{RESEARCH, ask};

const SESSION_ID: &str = "Mcp-Session-Id";
const TOOLS: &str = "notifications/tools/list_changed";

/// Two replicas, and what stands before them.
struct Pair {
    gateways: [Gateway; 2],
    balancer: Balancer,
}

/// `sessions` and `replicas`.
fn replicated(key: &str) -> String {
    format!("sessions: {{keys: [\"{}\"]}}\nreplicas: {{listen: \"127.0.0.1:0\"}}\n", sha256(key))
}

// === impl Pair ===

impl Pair {
    /// Two replicas over these upstreams (name, URL), once both have their tools.
    fn over(upstreams: &[(&str, String)]) -> Self {
        Self::over_with(upstreams, "")
    }

    fn over_with(upstreams: &[(&str, String)], more: &str) -> Self {
        let entries: Vec<_> = upstreams.iter().map(|(name, url)| (*name, format!("{{url: \"{url}\"}}"))).collect();
        let entries: Vec<_> = entries.iter().map(|(name, entry)| (*name, entry.as_str())).collect();
        let config = standard(&entries, &format!("{}{more}", replicated("one")));
        let gateways = [(); 2].map(|()| Home::open().serve(&config));
        for gateway in &gateways {
            wait_until("every upstream's tools", || {
                let tools = gateway.client().tools();
                upstreams.iter().all(|(name, _)| tools.iter().any(|tool| tool.starts_with(&format!("{name}__"))))
            });
        }
        let balancer = Balancer::before(&[gateways[0].main, gateways[1].main]);
        Self { gateways, balancer }
    }

    /// A client at both.
    fn client(&self) -> Client {
        Client::new(self.balancer.address()).key(KEY)
    }

    /// What both count together.
    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.gateways.iter().map(|gateway| gateway.metric(name, labels)).sum()
    }

    fn forwarded(&self, outcome: &str) -> f64 {
        self.metric("portcullis_forwarded_requests_total", &[("outcome", outcome)])
    }

    /// A client with a session of the first, that asks the second.
    fn away(&self) -> Client {
        self.away_at("2025-11-25")
    }

    /// The same at an earlier revision.
    fn away_at(&self, revision: &str) -> Client {
        let (hello, _) = self.gateways[0].client().initialize(revision);
        let client = self.gateways[1].client().with("MCP-Protocol-Version", revision);
        client.with(SESSION_ID, hello.header(SESSION_ID))
    }
}

fn end(client: &Client) -> u16 {
    let mut request = client.prepare("");
    request.method = "DELETE".to_owned();
    client.send(&request).status
}

fn method(stream: &mut Answer) -> String {
    let event = stream.next_event().unwrap().expect("another event");
    event["method"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_session_is_served_where_it_was_opened_and_counted_there_alone() {
    let upstream = Scripted::legacy();
    let pair = Pair::over(&[("up", upstream.url())]);
    let client = pair.away();
    let requests = || pair.gateways.each_ref().map(|gateway| gateway.metric("portcullis_http_requests_total", &[]));
    let before = requests();
    for turn in 0..3 {
        assert!(client.text_of("up__echo", &json!({"turn": turn})).contains(&turn.to_string()));
    }
    assert_eq!(requests(), [before[0], before[1] + 3.0], "counted where they came in");
    assert_eq!(client.tools(), pair.gateways[0].client().tools());
    let calls = |gateway: &Gateway| gateway.metric("mcp_tool_invocations_total", &[("tool_name", "up__echo")]);
    wait_until("the calls to be counted", || calls(&pair.gateways[0]) == 3.0);
    assert_eq!((calls(&pair.gateways[1]), pair.forwarded("answered")), (0.0, 4.0));
    // One session at the upstream, too.
    let sessions = upstream.executed("echo");
    let sessions = sessions.iter().map(|seen| seen.headers.get(SESSION_ID).unwrap().to_owned());
    assert_eq!(sessions.collect::<std::collections::HashSet<_>>().len(), 1);
}

#[test]
fn both_write_down_a_request_under_one_id() {
    let upstream = Scripted::legacy();
    let pair = Pair::over(&[("up", upstream.url())]);
    let client = pair.away().with("X-Request-ID", "passed-on-1");
    client.text_of("up__echo", &json!({"secret": "s3cret"}));
    let [served, passed] = pair.gateways.each_ref().map(|gateway| gateway.access_line("passed-on-1"));
    assert_eq!((&served["tool"], &served["call_status"]), (&json!("up__echo"), &json!("success")));
    for line in [&served, &passed] {
        assert_eq!((&line["principal"], &line["client_ip"]), (&json!("apiKey:tester"), &json!("127.0.0.1")), "{line}");
    }
    assert!(passed["replica"].as_str().unwrap().starts_with("127.0.0.1:") && passed["tool"].is_null(), "{passed}");
    assert!(served["replica"].is_null(), "{served}");
    assert_eq!(upstream.executed("echo")[0].headers.get("X-Request-ID"), Some("passed-on-1"));
    for gateway in &pair.gateways {
        assert!(!gateway.log.text().contains("s3cret") && !gateway.log.text().contains(KEY));
    }
}

#[test]
fn calls_are_cancelled_and_report_progress_across_replicas() {
    let upstream = Scripted::legacy();
    let pair = Pair::over(&[("up", upstream.url())]);
    let (_, client) = pair.client().initialize("2025-11-25");
    let mut call = client.open_call("up__progress", &json!({}), &json!("t"));
    assert_eq!(method(&mut call), "notifications/progress");
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    // Whichever it comes to.
    assert_eq!(client.post(cancel.to_string()).status, 202);
    wait_until("the upstream to be told", || !upstream.seen("notifications/cancelled").is_empty());
    let last = call.next_event().unwrap().expect("the answer");
    assert_eq!(last["error"]["code"], -31499, "{last}");
}

#[test]
fn a_stream_that_stands_open_is_one_wherever_it_comes_in() {
    let upstream = Scripted::legacy();
    upstream.offer_streams();
    let pair = Pair::over(&[("up", upstream.url())]);
    let client = pair.away();
    let mut stream = client.open_stream(None);
    assert_eq!((stream.status, stream.headers.get("Content-Type")), (200, Some("text/event-stream")));
    wait_until("the stream to stand open", || pair.metric("portcullis_standing_streams", &[]) == 1.0);
    upstream.announce(TOOLS);
    assert_eq!(method(&mut stream), TOOLS);
    // The newer takes over at the one place there is.
    let at_home = pair.gateways[0].client().with(SESSION_ID, &session_of(&client)).open_stream(None);
    assert_eq!(at_home.status, 200);
    while stream.next_raw_event().unwrap().is_some() {}
    drop(at_home);
    // A reload of the replica that let the client in ends the stream, too.
    let mut stream = client.open_stream(None);
    let second = &pair.gateways[1];
    let policies = std::fs::read_to_string(second.home.file("policies/policies.yaml")).unwrap();
    second.home.write("policies/policies.yaml", &format!("{policies}\n# Changed.\n"));
    while stream.next_raw_event().unwrap().is_some() {}
    assert_eq!(end(&client), 204);
    assert_eq!(client.open_stream(None).status, 404);
    assert_eq!(client.request("tools/list", &json!({})).status, 404);
}

fn session_of(client: &Client) -> String {
    let request = client.prepare("");
    request.headers.get(SESSION_ID).expect("it has one").to_owned()
}

#[test]
fn what_a_connection_lost_is_taken_up_through_the_other() {
    let upstream = Scripted::legacy();
    let pair = Pair::over(&[("up", upstream.url())]);
    let client = pair.away();
    let mut answer = client.open_call("up__progress", &json!({}), &json!("t"));
    let primed = answer.next_raw_event().unwrap().expect("the first event");
    assert!(primed.data.is_empty());
    drop(answer);
    upstream.open_gate();
    let mut rest = client.open_stream(primed.id.as_deref());
    let mut last = Value::Null;
    while let Some(event) = rest.next_event().unwrap() {
        last = event;
    }
    assert_eq!(last["result"]["content"][0]["text"], "done", "{last}");
    assert_eq!(upstream.executed("progress").len(), 1);
}

#[test]
fn a_session_hears_through_the_other_of_what_it_subscribed_to() {
    let server = started("legacy");
    let pair = Pair::over(&[("old", server.url())]);
    let client = pair.away();
    let mut stream = client.open_stream(None);
    let subscribed = client.request("resources/subscribe", &json!({"uri": "old+test://watched-resource"}));
    assert_eq!(subscribed.json()["result"], json!({}), "{}", subscribed.text());
    client.text_of("old__test_trigger_resource_change", &json!({}));
    while method(&mut stream) != "notifications/resources/updated" {}
}

#[test]
fn a_batch_is_passed_on_whole() {
    let upstream = Scripted::legacy();
    let pair = Pair::over(&[("up", upstream.url())]);
    let call = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "up__echo", "arguments": {"at": id}}});
    let client = pair.away_at("2025-03-26").with("Accept", "application/json");
    let answers = client.post(json!([call(1), call(2)]).to_string()).json();
    let mut ids: Vec<u64> = answers.as_array().unwrap().iter().filter_map(|answer| answer["id"].as_u64()).collect();
    ids.sort_unstable();
    assert_eq!((ids, pair.forwarded("answered")), (vec![1, 2], 1.0), "{answers}");
}

#[test]
fn a_parked_call_goes_on_wherever_its_client_comes_back_and_once() {
    let pair = Pair::over(&[("old", pinned("legacy"))]);
    let [home, other] = pair.gateways.each_ref().map(Gateway::client);
    let arguments = json!({"message": "Who are you?"});
    let code = |reply: Reply| reply.json()["error"]["code"].clone();
    for path in ["/mcp", "/servers/old/mcp"] {
        let tool = if path == "/mcp" { "old__test_elicitation" } else { "test_elicitation" };
        let [home, other] = [&home, &other].map(|client| client.clone().at(path));
        let again = parked(&home, tool, &arguments);
        // For another request it is nothing there, either.
        assert_eq!(code(asking(&other, tool, &json!({"message": "other"}), &again)), -32602);
        let ended = asking(&other, tool, &arguments, &again).json();
        assert!(ended["result"]["content"].to_string().contains("ada"), "{ended}");
        assert_eq!(code(asking(&other, tool, &arguments, &again)), -32603);
    }
    assert_eq!(pair.forwarded("answered"), 6.0);
}

#[test]
fn a_task_is_asked_about_where_the_session_is_in_which_it_was_made() {
    let pair = Pair::over(&[("all", upstream::everything())]);
    let [home, other] = pair.gateways.each_ref().map(Gateway::client);
    let call = json!({"name": RESEARCH, "arguments": {"topic": "otters"}});
    let made = ask(&home, true, "tools/call", &call).json();
    let about = json!({"taskId": made["result"]["taskId"]});
    let status = || ask(&other, true, "tasks/get", &about).json()["result"]["status"].clone();
    assert_eq!((status(), pair.forwarded("answered")), (json!("working"), 1.0), "{made}");
    wait_until("the task's end", || status() == "completed");
}

#[test]
fn stateless_requests_are_served_where_they_come_in() {
    let upstream = Scripted::modern();
    let pair = Pair::over(&[("up", upstream.url())]);
    for _ in 0..4 {
        let reply = pair.client().modern("tools/call", &json!({"name": "up__echo", "arguments": {}}));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let calls = |gateway: &Gateway| gateway.metric("mcp_tool_invocations_total", &[("tool_name", "up__echo")]);
    wait_until("the calls to be counted", || pair.gateways.each_ref().map(calls) == [2.0, 2.0]);
    assert_eq!(pair.metric("portcullis_forwarded_requests_total", &[]), 0.0);
}

#[test]
fn a_principal_is_the_same_at_both_and_nobody_else_gets_its_session() {
    let auth = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n      - {{name: two, \
         sha256: \"{}\", roles: [tester]}}\n",
        sha256(KEY),
        sha256("two")
    );
    let upstream = Scripted::legacy();
    let pair = Pair::over_with(&[("up", upstream.url())], &auth);
    let client = pair.away();
    assert_eq!(client.request("tools/list", &json!({})).status, 200);
    for stranger in [client.clone().key("two"), client.clone().at("/servers/up/mcp")] {
        assert_eq!(stranger.request("tools/list", &json!({})).status, 404);
        assert_eq!(end(&stranger), 404);
    }
    assert_eq!(client.key("nobody").request("tools/list", &json!({})).status, 401);
    assert_eq!(pair.forwarded("answered"), 1.0, "strangers are turned away where they come in");
    // A header of ours that a client makes up says nothing.
    let posing = pair.away().with("Portcullis-Vouched", "eyJuYW1lIjoiYXBpS2V5OnR3byJ9");
    posing.text_of("up__echo", &json!({"posing": true}));
    let mut line = Value::Null;
    wait_until("the access line", || {
        let found = pair.gateways[0].log.find(|line| line["tool"] == "up__echo");
        line = found.unwrap_or_default();
        !line.is_null()
    });
    assert_eq!(line["principal"], "apiKey:tester");
}

#[test]
fn limits_of_a_body_hold_at_the_first_replica() {
    let pair = Pair::over_with(&[], "limits: {maxBody: 2KiB, drainTimeout: 1s}\n");
    let client = pair.away();
    assert_eq!(client.post(vec![b'x'; 4096]).status, 413);
    assert_eq!(client.post("{").status, 400);
    assert_eq!(pair.forwarded("answered"), 1.0, "what is too large is not passed on");
}

#[test]
fn a_client_of_the_oldest_transport_posts_to_either() {
    let pair = Pair::over(&[]);
    let [home, other] = pair.gateways.each_ref().map(Gateway::client);
    let mut stream = home.at("/sse").open_stream(None);
    let endpoint = stream.next_raw_event().unwrap().expect("the first event").data;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(other.clone().at(&endpoint).post(ping).status, 202);
    assert_eq!(stream.next_event().unwrap().expect("the answer"), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    drop(stream);
    wait_until("the stream to be forgotten", || other.clone().at(&endpoint).post(ping).status == 404);
}
