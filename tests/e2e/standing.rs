//! The streams that clients with a session leave open, and answers that go on
//! when a connection does not.

mod bounds;
mod sdk;

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, KEY, sha256, standard};
use portcullis_tests::http::{Answer, Event};
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;
use portcullis_tests::{Value, json};

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";

/// A server that tells those who listen.
fn telling() -> Scripted {
    let upstream = Scripted::legacy();
    upstream.offer_streams();
    upstream
}

fn entry(upstream: &Scripted) -> String {
    format!("{{url: \"{}\"}}", upstream.url())
}

/// A gateway over these servers, once it has all their tools.
fn over(upstreams: &[(&str, &Scripted)]) -> Gateway {
    let entries: Vec<_> = upstreams.iter().map(|(name, upstream)| (*name, entry(upstream))).collect();
    let entries: Vec<_> = entries.iter().map(|(name, entry)| (*name, entry.as_str())).collect();
    let gateway = Gateway::over(&entries);
    wait_until("every upstream's tools", || {
        let tools = gateway.client().tools();
        upstreams.iter().all(|(name, _)| tools.contains(&format!("{name}__echo")))
    });
    gateway
}

/// A client with a session of the newest revision that has one.
fn session(gateway: &Gateway) -> Client {
    gateway.client().initialize("2025-11-25").1
}

/// How many streams stand open.
fn standing(gateway: &Gateway) -> f64 {
    gateway.metric("portcullis_standing_streams", &[])
}

fn next(stream: &mut Answer) -> Event {
    stream.next_raw_event().unwrap().expect("another event")
}

fn method(event: &Event) -> String {
    let message: Value = serde_json::from_str(&event.data).unwrap_or_else(|_| panic!("no message: {event:?}"));
    message["method"].as_str().unwrap_or_default().to_owned()
}

fn id(event: &Event) -> String {
    event.id.clone().unwrap_or_else(|| panic!("no id: {event:?}"))
}

fn is_priming(event: &Event) -> bool {
    event.id.is_some() && event.retry.is_some() && event.data.is_empty()
}

/// Calls a tool that reports progress; what came up to the first report.
fn begin(client: &Client) -> (Answer, [Event; 2]) {
    let mut answer = client.open_call("up__progress", &json!({}), &json!("t"));
    let begun = [next(&mut answer), next(&mut answer)];
    (answer, begun)
}

/// The rest of that call's answer.
fn assert_has_the_rest(mut stream: Answer) {
    assert_eq!(stream.status, 200);
    assert!(is_priming(&next(&mut stream)));
    let second: Value = serde_json::from_str(&next(&mut stream).data).unwrap();
    assert_eq!((&second["params"]["progress"], &second["params"]["progressToken"]), (&json!(2), &json!("t")));
    let last: Value = serde_json::from_str(&next(&mut stream).data).unwrap();
    assert_eq!((&last["id"], &last["result"]["content"][0]["text"]), (&json!(1), &json!("done")));
    assert_eq!(stream.next_raw_event().unwrap(), None);
}

#[test]
fn a_stream_needs_a_session_and_a_client_that_takes_events() {
    let gateway = Gateway::over(&[]);
    let client = session(&gateway);
    assert_eq!(gateway.client().open_stream(None).status, 400);
    assert_eq!(gateway.client().with("Mcp-Session-Id", "made-up").open_stream(None).status, 404);
    assert_eq!(client.clone().with("Accept", "application/json").get().status, 406);
    let stateless = client.clone().with("MCP-Protocol-Version", "2026-07-28").get();
    assert_eq!((stateless.status, stateless.header("Allow")), (405, "POST"));
    let stream = client.open_stream(None);
    assert_eq!((stream.status, stream.headers.get("Content-Type")), (200, Some("text/event-stream")));
}

#[test]
fn clients_of_sessions_are_told_of_changed_lists() {
    let [one, other] = [telling(), telling()];
    let gateway = over(&[("one", &one), ("other", &other)]);
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let (hello, client) = gateway.client().initialize(revision);
        assert_eq!(hello.json()["result"]["capabilities"]["tools"], json!({"listChanged": true}));
        let mut all = client.open_stream(None);
        let [mut ones, mut others] = ["one", "other"].map(|name| {
            let client = gateway.client().at(&format!("/servers/{name}/mcp"));
            client.initialize(revision).1.open_stream(None)
        });
        let streams = [&mut all, &mut ones, &mut others].map(|stream| {
            let primed = revision == "2025-11-25";
            assert!(!primed || is_priming(&next(stream)));
            stream
        });
        // Many changes are told as one.
        for _ in 0..5 {
            one.announce(TOOLS);
        }
        other.announce(PROMPTS);
        let [all, ones, others] = streams;
        let mut heard = [method(&next(all)), method(&next(all))];
        heard.sort();
        assert_eq!(heard, [PROMPTS, TOOLS]);
        assert_eq!(method(&next(ones)), TOOLS);
        assert_eq!(method(&next(others)), PROMPTS);
    }
}

#[test]
fn a_server_that_comes_back_is_a_change() {
    let upstream = Scripted::legacy();
    let gateway = over(&[("up", &upstream)]);
    let address = upstream.address();
    let mut stream = session(&gateway).open_stream(None);
    assert!(is_priming(&next(&mut stream)));
    drop(upstream);
    gateway.client().call("up__echo", &json!({}));
    let _upstream = Scripted::listen(portcullis_tests::scripted::Era::Legacy, address);
    // Whoever calls finds out that it is back.
    wait_until("the upstream to be back", || gateway.client().call("up__echo", &json!({})).text().contains("result"));
    assert_eq!(method(&next(&mut stream)), TOOLS);
}

#[test]
fn nothing_is_lost_between_two_streams() {
    let upstream = telling();
    let gateway = over(&[("up", &upstream)]);
    let client = session(&gateway);
    let mut first = client.open_stream(None);
    let primed = id(&next(&mut first));
    drop(first);
    upstream.announce(TOOLS);
    let mut second = client.open_stream(None);
    assert!(is_priming(&next(&mut second)));
    assert_eq!(method(&next(&mut second)), TOOLS);
    // One who says that it never had it, has it again.
    let mut third = client.open_stream(Some(&primed));
    assert!(is_priming(&next(&mut third)));
    let again = next(&mut third);
    assert_eq!(method(&again), TOOLS);
    // One who has it does not.
    let mut fourth = client.open_stream(Some(&id(&again)));
    assert!(is_priming(&next(&mut fourth)));
    upstream.announce(PROMPTS);
    assert_eq!(method(&next(&mut fourth)), PROMPTS);
}

#[test]
fn a_newer_stream_takes_over() {
    let upstream = telling();
    let gateway = over(&[("up", &upstream)]);
    let client = session(&gateway);
    let mut older = client.open_stream(None);
    assert!(is_priming(&next(&mut older)));
    let mut newer = client.open_stream(None);
    assert_eq!(older.next_raw_event().unwrap(), None);
    assert!(is_priming(&next(&mut newer)));
    upstream.announce(TOOLS);
    assert_eq!(method(&next(&mut newer)), TOOLS);
    wait_until("the older one's place", || standing(&gateway) == 1.0);
}

#[test]
fn a_stream_ends_with_its_session() {
    let gateway = Gateway::over(&[]);
    let client = session(&gateway);
    let mut stream = client.open_stream(None);
    assert!(is_priming(&next(&mut stream)));
    let mut end = client.prepare("");
    end.method = "DELETE".to_owned();
    assert_eq!(client.send(&end).status, 204);
    assert_eq!(stream.next_raw_event().unwrap(), None);
    assert_eq!(client.open_stream(None).status, 404);
    wait_until("its place", || standing(&gateway) == 0.0);
}

#[test]
fn the_rest_of_an_answer_can_be_had_when_the_connection_broke() {
    for upstream in [Scripted::legacy(), Scripted::modern()] {
        let gateway = over(&[("up", &upstream)]);
        let client = session(&gateway);
        let (answer, [primed, first]) = begin(&client);
        assert!(is_priming(&primed) && first.data.contains("step 1"), "{primed:?} {first:?}");
        drop(answer);
        upstream.open_gate();
        assert_has_the_rest(client.open_stream(Some(&id(&first))));
        // And again, and from the start.
        assert_has_the_rest(client.open_stream(Some(&id(&first))));
        let mut whole = client.open_stream(Some(&id(&primed)));
        assert!(is_priming(&next(&mut whole)));
        assert!(next(&mut whole).data.contains("step 1"));
        assert_eq!(upstream.executed("progress").len(), 1);
    }
}

#[test]
fn the_rest_can_be_had_while_the_old_connection_seems_to_hold() {
    let upstream = Scripted::legacy();
    let gateway = over(&[("up", &upstream)]);
    let client = session(&gateway);
    let (mut answer, [_, first]) = begin(&client);
    let resumed = client.open_stream(Some(&id(&first)));
    assert_eq!(answer.next_raw_event().unwrap(), None);
    upstream.open_gate();
    assert_has_the_rest(resumed);
}

#[test]
fn an_answer_that_is_not_a_stream_stays_as_it_is() {
    let upstream = Scripted::legacy();
    upstream.open_gate();
    let gateway = over(&[("up", &upstream)]);
    let call = session(&gateway).call("up__echo", &json!({}));
    assert!(call.header("Content-Type").starts_with("application/json"));
    for revision in ["2025-03-26", "2025-06-18"] {
        let (_, client) = gateway.client().initialize(revision);
        let answer = client.open_call("up__progress", &json!({}), &json!("t")).finish().unwrap().text();
        assert!(!answer.contains("id: ") && !answer.contains("retry: "), "{revision}: {answer}");
    }
}

#[test]
fn a_call_whose_client_is_gone_can_still_be_cancelled() {
    let upstream = Scripted::legacy();
    let gateway = over(&[("up", &upstream)]);
    let client = session(&gateway);
    let (answer, [_, first]) = begin(&client);
    drop(answer);
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(client.post(cancel.to_string()).status, 202);
    wait_until("the upstream to be told", || !upstream.seen("notifications/cancelled").is_empty());
    let mut stream = client.open_stream(Some(&id(&first)));
    assert!(is_priming(&next(&mut stream)));
    let last: Value = serde_json::from_str(&next(&mut stream).data).unwrap();
    assert_eq!(last["error"]["code"], -31499, "{last}");
}

#[test]
fn an_event_id_is_of_no_use_to_anybody_else() {
    let upstream = Scripted::legacy();
    let keys = ["one", "two"].map(|name| format!("{{name: {name}, sha256: \"{}\", roles: [tester]}}", sha256(name)));
    let auth = format!("auth: {{apiKeys: {{keys: [{}]}}}}\n", keys.join(", "));
    let gateway = Gateway::over_with(&[("up", &entry(&upstream))], &auth);
    let open = |key: &str| Client::new(gateway.main).key(key).initialize("2025-11-25").1;
    let mine = open("one");
    wait_until("the upstream's tools", || mine.tools().contains(&"up__progress".to_owned()));
    let (answer, [_, first]) = begin(&mine);
    drop(answer);
    for other in [open("two"), open("one")] {
        assert_eq!(other.open_stream(Some(&id(&first))).status, 400);
    }
    assert_eq!(mine.clone().key("two").open_stream(Some(&id(&first))).status, 404);
    for made_up in ["", "1", "a.b.1", &format!("{}0", &id(&first)[1..])] {
        assert_eq!(mine.open_stream(Some(made_up)).status, 400, "{made_up}");
    }
    upstream.open_gate();
    assert_has_the_rest(mine.open_stream(Some(&id(&first))));
}

#[test]
fn a_reload_ends_streams_and_loses_nothing() {
    let upstream = telling();
    let gateway = over(&[("up", &upstream)]);
    let client = session(&gateway);
    let mut stream = client.open_stream(None);
    let primed = id(&next(&mut stream));
    let (answer, [_, first]) = begin(&client);
    drop(answer);
    let mut rest = client.open_stream(Some(&id(&first)));
    assert!(is_priming(&next(&mut rest)));
    let policy = "policies:\n  - {name: p, subjects: {roles: [tester]}, tools: {allow: [up__echo]}}\n";
    gateway.home.write("policies/policies.yaml", policy);
    assert_eq!((stream.next_raw_event().unwrap(), rest.next_raw_event().unwrap()), (None, None));
    // What may be called has changed, and so has the list.
    let mut stream = client.open_stream(Some(&primed));
    assert!(is_priming(&next(&mut stream)));
    assert_eq!(method(&next(&mut stream)), TOOLS);
    assert_eq!(client.tools(), ["up__echo"]);
    upstream.open_gate();
    assert_has_the_rest(client.open_stream(Some(&id(&first))));
    // Who is not let in any more does not come back.
    let auth = format!("auth: {{apiKeys: {{keys: [{{name: t, sha256: \"{}\", roles: [tester]}}]}}}}\n", sha256("new"));
    gateway.home.configure(&standard(&[("up", &entry(&upstream))], &auth));
    while stream.next_raw_event().unwrap().is_some() {}
    assert_eq!(client.key(KEY).open_stream(None).status, 401);
}
