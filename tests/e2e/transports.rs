//! Servers over HTTP+SSE and WebSocket serve as those over Streamable HTTP do,
//! and fail without harm to anybody else.

mod faults;
mod resuming;

use portcullis_tests::client::Client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::piped::{Piped, Wire};
use portcullis_tests::upstream;

const WIRES: [Wire; 2] = [Wire::Sse, Wire::WebSocket];

/// A gateway over one server that is already known.
fn over(url: &str) -> Gateway {
    let quick = "timeout: 3s, retry: {maxAttempts: 5, initial: 50ms, max: 200ms}";
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{url}\", {quick}}}"))]);
    wait_until("the upstream's tools", || !gateway.client().tools().is_empty());
    gateway
}

fn answers(client: &Client) -> bool {
    client.call("up__add", &json!({"a": 1, "b": 2})).json()["result"]["content"][0]["text"] == "3"
}

#[test]
fn public_servers_of_every_transport_are_served() {
    let gateway = Gateway::over(&[
        ("everything", &format!("{{url: \"{}\"}}", upstream::everything_sse())),
        ("found", &format!("{{url: \"{}\"}}", upstream::python_1_sse())),
        ("newer", &format!("{{url: \"{}\"}}", upstream::python_2_sse())),
        ("named", &format!("{{type: sse, url: \"{}\"}}", upstream::python_1_sse())),
        ("socket", &format!("{{url: \"{}\"}}", upstream::python_1_websocket())),
        ("typed", &format!("{{type: websocket, url: \"{}\"}}", upstream::python_1_websocket())),
    ]);
    let client = gateway.client();
    let expected = ["everything__get-sum", "found__add", "newer__add", "named__add", "socket__add", "typed__add"];
    wait_until("every upstream's tools", || {
        let tools = client.tools();
        expected.iter().all(|tool| tools.iter().any(|known| known == tool))
    });
    assert_eq!(client.text_of("everything__get-sum", &json!({"a": 2, "b": 40})), "The sum of 2 and 40 is 42.");
    for tool in &expected[1..] {
        assert_eq!(client.text_of(tool, &json!({"a": 2, "b": 40})), "42");
        let modern = client.modern("tools/call", &json!({"name": tool, "arguments": {"a": 1, "b": 1}}));
        assert_eq!(modern.json()["result"]["content"][0]["text"], "2", "{}", modern.text());
    }
}

#[test]
fn progress_arrives_over_every_transport() {
    for url in [upstream::python_1_sse(), upstream::python_1_websocket()] {
        let gateway = over(&url);
        let mut answer = gateway.client().open_call("up__count", &json!({"steps": 3}), &json!("t"));
        for step in 1..=3 {
            let progress = answer.next_event().unwrap().unwrap();
            assert_eq!(progress["params"]["progressToken"], "t");
            assert!((progress["params"]["progress"].as_f64().unwrap() - f64::from(step)).abs() < 0.1, "{progress}");
        }
        let last = answer.next_event().unwrap().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "counted to 3", "{last}");
    }
}

#[test]
fn a_list_follows_what_a_server_on_a_pipe_says_has_changed() {
    for transport in ["sse", "ws"] {
        let peer = upstream::start_python_over(transport, 0);
        let url = if transport == "sse" { peer.url_at("http", "/sse") } else { peer.url_at("ws", "/ws") };
        let gateway = over(&url);
        let client = gateway.client();
        assert_eq!(client.text_of("up__grow", &json!({"name": "sprout"})), "sprout");
        wait_until("the new tool", || client.tools().iter().any(|tool| tool == "up__sprout"));
    }
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_server() {
    for wire in WIRES {
        let server = Piped::start(wire);
        let gateway = over(&server.url());
        let (_, client) = gateway.client().initialize("2025-11-25");
        std::thread::scope(|threads| {
            let call = threads.spawn(|| client.call("up__hang", &json!({})));
            server.wait_called("hang", 1);
            let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
            assert_eq!(client.post(cancelled.to_string()).status, 202);
            wait_until("the upstream to hear of it", || server.seen("notifications/cancelled").len() == 1);
            let id = &server.seen("tools/call")[0]["id"];
            assert_eq!(&server.seen("notifications/cancelled")[0]["params"]["requestId"], id);
            call.join().unwrap();
        });
    }
}

#[test]
fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    for transport in ["sse", "ws"] {
        let peer = upstream::start_python_over(transport, 0);
        let port = peer.address.port();
        let url = if transport == "sse" { peer.url_at("http", "/sse") } else { peer.url_at("ws", "/ws") };
        let gateway = over(&url);
        let client = gateway.client();
        assert!(answers(&client));
        drop(peer);
        let reply = client.call("up__add", &json!({"a": 1, "b": 2}));
        assert_eq!(reply.json()["error"]["code"], -31502, "{}", reply.text());
        let _again = upstream::start_python_over(transport, port);
        wait_until("recovery", || answers(&client));
    }
}

#[test]
fn a_server_gets_our_headers_and_not_the_callers_credential() {
    for wire in WIRES {
        let server = Piped::start(wire);
        let entry =
            format!("{{url: \"{}\", headers: {{X-Team: sales}}, auth: {{bearer: our-own-token}}}}", server.url());
        let gateway = Gateway::over(&[("up", &entry)]);
        wait_until("the upstream's tools", || !gateway.client().tools().is_empty());
        let opening = server.openings().remove(0);
        for line in ["x-team: sales", "authorization: bearer our-own-token"] {
            assert!(opening.lines().any(|found| found == line), "{line} in {opening}");
        }
        assert!(!opening.contains("x-api-key"), "{opening}");
    }
}

#[test]
fn a_pasted_block_of_older_servers_works_as_it_is() {
    let pasted = format!(
        "auth: {{anonymous: {{roles: [tester]}}}}\npolicies: [policies/*.yaml]\nmcpServers: {{\"sse\": {{\"type\": \"sse\", \
         \"url\": \"{}\"}}, \"ws\": {{\"type\": \"ws\", \"url\": \"{}\"}}}}\n",
        upstream::python_1_sse(),
        upstream::python_1_websocket()
    );
    let gateway = portcullis_tests::gateway::Home::open().serve(&pasted);
    let client = Client::new(gateway.main);
    wait_until("the upstreams' tools", || {
        let tools = client.tools();
        ["sse__add", "ws__add"].iter().all(|tool| tools.iter().any(|known| known == tool))
    });
}
