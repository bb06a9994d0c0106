//! What servers on pipes ask reaches the client that they ask it of: each
//! client that can be asked has a process or connection of its own.

mod bounds;

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, KEY};
use portcullis_tests::http::Answer;
use portcullis_tests::patience::wait_until;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json, upstream};

use crate::questions::{answers, asking, assert_asks, over, parked, text};

const REVISION: &str = "2025-11-25";

/// The configuration of the conformance suite's upstream as a child process.
pub(crate) fn conformance_stdio(era: &str) -> String {
    upstream::conformance_stdio(env!("CARGO_BIN_EXE_conformance-upstream"), era)
}

fn url(url: &str) -> String {
    format!("{{url: \"{url}\"}}")
}

/// A session whose client can fill in forms.
fn able(gateway: &Gateway) -> Client {
    let (opened, client) = gateway.client().initialize_able(REVISION, &json!({"elicitation": {}}));
    assert_eq!(opened.status, 200, "{}", opened.text());
    assert_eq!(client.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).status, 202);
    client
}

/// Calls a tool that asks something; the answer so far, and the question.
fn open(client: &Client, tool: &str, arguments: &Value) -> (Answer, Value) {
    let mut answer = client.open("tools/call", &json!({"name": tool, "arguments": arguments}));
    let question = answer.next_event().unwrap().unwrap();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    (answer, question)
}

/// Answers a question with a name.
fn reply(client: &Client, question: &Value, name: &str) {
    let result = json!({"action": "accept", "content": {"name": name, "username": name, "email": "a@example.com"}});
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(client.post(reply.to_string()).status, 202);
}

#[test]
fn every_client_is_asked_by_child_processes_of_either_era() {
    let gateway = over(&[("old", conformance_stdio("legacy")), ("new", conformance_stdio("modern"))]);
    for sdk in Sdk::ALL {
        for (path, prefix) in [("/mcp", "old__"), ("/mcp", "new__"), ("/servers/old/mcp", "")] {
            assert_asks(sdk, &gateway.url(path), prefix);
        }
    }
}

/// The reference server shows some tools only to clients that can be asked.
#[test]
fn the_reference_server_asks_over_every_pipe_and_shows_what_asks_to_those_who_can_be() {
    let gateway = over(&[("all", upstream::everything_stdio()), ("sse", url(&upstream::everything_sse()))]);
    for sdk in Sdk::ALL {
        for name in ["all", "sse"] {
            let calls = json!([
                {"name": format!("{name}__trigger-elicitation-request"), "arguments": {}},
                {"name": format!("{name}__trigger-sampling-request"), "arguments": {"prompt": "hello", "maxTokens": 10}},
                {"name": format!("{name}__get-roots-list"), "arguments": {}},
            ]);
            let report = sdk.run_with(&gateway.url("/mcp"), KEY, &calls, &answers());
            for (index, expected) in ["ada", "the answer is 42", "file:///srv/ada"].into_iter().enumerate() {
                assert!(text(&report["calls"][index]).contains(expected), "{sdk:?} → {name}: {report}");
            }
            let sampling = json!(format!("{name}__trigger-sampling-request"));
            assert!(report["tools"].as_array().unwrap().contains(&sampling), "{sdk:?} → {name}");
            let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
            assert!(!report["tools"].as_array().unwrap().contains(&sampling), "{sdk:?} → {name}");
            assert_eq!(report["calls"][1]["error"]["code"], -32602, "{sdk:?} → {name}: {report}");
        }
    }
}

#[test]
fn python_servers_ask_over_every_pipe() {
    let gateway = over(&[
        ("child", upstream::python_stdio("mcp-1")),
        ("socket", url(&upstream::python_1_websocket())),
        ("sse", url(&upstream::python_1_sse())),
    ]);
    for sdk in Sdk::ALL {
        for name in ["child", "socket", "sse"] {
            let calls = json!([
                {"name": format!("{name}__ask"), "arguments": {"question": "Who are you?"}},
                {"name": format!("{name}__sample"), "arguments": {"prompt": "6 times 7?"}},
                {"name": format!("{name}__roots"), "arguments": {}},
                {"name": format!("{name}__add"), "arguments": {"a": 1, "b": 2}},
            ]);
            let report = sdk.run_with(&gateway.url("/mcp"), KEY, &calls, &answers());
            for (index, expected) in ["ada", "the answer is 42", "file:///srv/ada", "3"].into_iter().enumerate() {
                assert_eq!(text(&report["calls"][index]), expected, "{sdk:?} → {name}: {report}");
            }
        }
    }
}

#[test]
fn clients_that_are_asked_at_the_same_time_answer_for_themselves() {
    let gateway = over(&[("child", upstream::python_stdio("mcp-1")), ("socket", url(&upstream::python_1_websocket()))]);
    for tool in ["child__ask", "socket__ask"] {
        let clients = [("ada", able(&gateway)), ("bob", able(&gateway)), ("cy", able(&gateway))];
        let calls = clients.map(|(name, client)| {
            let (answer, question) = open(&client, tool, &json!({"question": format!("{name}?")}));
            assert_eq!(question["params"]["message"], format!("{name}?"));
            (name, client, answer, question)
        });
        // The last that was asked answers first.
        for (name, client, mut answer, question) in calls.into_iter().rev() {
            reply(&client, &question, name);
            let last = answer.next_event().unwrap().unwrap();
            assert_eq!(text(&last), name, "{last}");
            client.end_session();
        }
    }
}

/// A question on a pipe does not say which call it is about.
#[test]
fn a_question_beside_several_calls_of_a_client_is_answered_whichever_ends_first() {
    let gateway = over(&[("child", upstream::python_stdio("mcp-1"))]);
    let client = able(&gateway);
    let later = json!({"name": "child__ask_later", "arguments": {"question": "Who?"}});
    let mut later = client.open("tools/call", &later);
    let (mut hurried, question) = open(&client, "child__hurry", &json!({}));
    assert_eq!(question["params"]["message"], "Who?");
    let ended = hurried.next_event().unwrap().unwrap();
    assert_eq!(text(&ended), "hurried", "{ended}");
    reply(&client, &question, "ada");
    let answered = later.next_event().unwrap().unwrap();
    assert_eq!(text(&answered), "ada", "{answered}");
}

#[test]
fn a_call_that_waits_for_a_stateless_client_keeps_its_process_until_it_ends() {
    let everybody = "auth: {anonymous: {roles: [tester]}}\n";
    let gateway = Gateway::over_with(&[("old", &conformance_stdio("legacy"))], everybody);
    let client = Client::new(gateway.main);
    wait_until("the upstream's tools", || !client.tools().is_empty());
    let arguments = json!({"message": "Who are you?"});
    let ask = || parked(&client, "old__test_elicitation", &arguments);
    let (one, other) = (ask(), ask());
    // The one of all, one for what clients that can be asked are shown, one for each call.
    assert_eq!(gateway.children().len(), 4);
    for again in [one, other] {
        let ended = asking(&client, "old__test_elicitation", &arguments, &again).json();
        assert!(text(&ended).contains("ada"), "{ended}");
    }
    wait_until("the processes to end", || gateway.children().len() == 2);
}

#[test]
fn questions_beside_several_calls_of_stateless_clients_are_refused() {
    let gateway = over(&[("child", upstream::python_stdio("mcp-1"))]);
    let client = gateway.client();
    let later = json!({"question": "Who?"});
    let mut others = std::thread::scope(|scope| {
        let later = scope.spawn(|| asking(&client, "child__ask_later", &later, &json!({})).json());
        let hurried = scope.spawn(|| asking(&client, "child__hurry", &json!({}), &json!({})).json());
        [later, hurried].map(|call| call.join().unwrap())
    });
    // Nobody was asked; what the tool makes of that is its answer.
    assert_eq!(others[0]["result"]["isError"], true, "{}", others[0]);
    assert_eq!(text(&others[1].take()), "hurried");
}
