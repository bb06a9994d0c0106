//! Tasks of a server with a handshake for stateless clients, which know those
//! of the extension.

use portcullis_tests::gateway::Gateway;
use portcullis_tests::patience::wait_until;
use portcullis_tests::peer::node;
use portcullis_tests::{Value, json, upstream};

use super::{Client, EXTENSION, KEY, OTHER_KEY, RESEARCH, ask, code, gateway, pinned};

fn begin(client: &Client, arguments: &Value) -> Value {
    let made = ask(client, true, "tools/call", &json!({"name": RESEARCH, "arguments": arguments})).json();
    let task = &made["result"];
    assert_eq!(task["resultType"], "task", "{made}");
    assert!(task["ttlMs"].is_null() || task["ttlMs"].is_u64(), "{made}");
    assert!(task["createdAt"].is_string() && task["lastUpdatedAt"].is_string(), "{made}");
    json!({"taskId": task["taskId"]})
}

fn get(client: &Client, about: &Value) -> Value {
    let standing = ask(client, true, "tasks/get", about).json();
    assert_eq!(standing["result"]["resultType"], "complete", "{standing}");
    assert_eq!(standing["result"]["taskId"], about["taskId"], "{standing}");
    standing["result"].clone()
}

fn ended(client: &Client, about: &Value) -> Value {
    wait_until("the task's end", || {
        !["working", "input_required"].contains(&get(client, about)["status"].as_str().unwrap())
    });
    get(client, about)
}

#[test]
fn a_stateless_client_has_tasks_of_a_server_with_a_handshake() {
    let gateway = gateway("all", &upstream::everything());
    let client = gateway.client();
    let offered = ask(&client, true, "server/discover", &json!({})).json();
    assert_eq!(offered["result"]["capabilities"]["extensions"], json!({EXTENSION: {}}), "{offered}");
    let about = begin(&client, &json!({"topic": "otters"}));
    assert_eq!(get(&client, &about)["status"], "working");
    // Nobody else's, and no other.
    let strangers = [client.clone().key(OTHER_KEY), client.clone().at("/servers/all/mcp")];
    let with = |id: &Value| json!({"taskId": id, "inputResponses": {}});
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for stranger in &strangers {
            assert_eq!(code(&ask(stranger, true, method, &with(&about["taskId"]))), -32602, "{method}");
        }
        assert_eq!(code(&ask(&client, true, method, &with(&json!("7")))), -32602, "{method}");
        assert_eq!(code(&ask(&client, false, method, &about)), -32021, "{method}");
    }
    let done = ended(&client, &about);
    assert_eq!(done["status"], "completed", "{done}");
    assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains("otters"), "{done}");
    assert!(!done["result"].to_string().contains("related-task"), "{done}");
    // That it has ended is no error.
    assert_eq!(ask(&client, true, "tasks/cancel", &about).json()["result"], json!({"resultType": "complete"}));
    let nothing = ask(&client, true, "tasks/update", &with(&about["taskId"])).json();
    assert_eq!(nothing["result"], json!({"resultType": "complete"}));
    assert_eq!(code(&ask(&client, true, "tasks/update", &about)), -32602);

    let running = begin(&client, &json!({"topic": "voles"}));
    assert_eq!(ask(&client, true, "tasks/cancel", &running).json()["result"], json!({"resultType": "complete"}));
    assert_eq!(ended(&client, &running)["status"], "cancelled");
}

#[test]
fn a_task_asks_a_stateless_client() {
    assert_asks(&gateway("all", &upstream::everything()));
}

#[test]
fn a_task_of_a_child_process_asks_a_stateless_client() {
    let gateway = Gateway::over(&[("all", &upstream::everything_stdio())]);
    wait_until("the upstream's tools", || !gateway.client().tools().is_empty());
    assert_asks(&gateway);
}

fn assert_asks(gateway: &Gateway) {
    let client = gateway.client();
    let about = begin(&client, &json!({"topic": "python", "ambiguous": true}));
    wait_until("a question", || get(&client, &about)["status"] == "input_required");
    let asking = get(&client, &about);
    let questions = asking["inputRequests"].as_object().unwrap();
    let (key, question) = questions.iter().next().unwrap();
    assert_eq!((questions.len(), &question["method"]), (1, &json!("elicitation/create")), "{asking}");
    assert!(!question.to_string().contains("taskId"), "{asking}");
    // What answers nothing is let be.
    let answer = |key: &str, interpretation: &str| {
        let given = json!({"action": "accept", "content": {"interpretation": interpretation}});
        json!({"taskId": about["taskId"], "inputResponses": {key: given}})
    };
    for (key, interpretation) in [("other", "comedy"), (key, "snake"), (key, "comedy")] {
        let taken = ask(&client, true, "tasks/update", &answer(key, interpretation)).json();
        assert_eq!(taken["result"], json!({"resultType": "complete"}));
    }
    let done = ended(&client, &about);
    assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains("snake"), "{done}");
}

/// The client of the extension follows tasks by itself and answers what they ask.
#[test]
fn the_client_of_the_extension_has_tasks_of_servers_of_both_eras() {
    let answers = json!({"elicitation": {"action": "accept", "content": {"interpretation": "snake", "confirm": true}}});
    let old = [
        (json!({"name": RESEARCH, "arguments": {"topic": "otters"}}), "otters"),
        (json!({"name": RESEARCH, "arguments": {"topic": "python", "ambiguous": true}}), "snake"),
        (json!({"name": "all__echo", "arguments": {"message": "at once"}}), "at once"),
    ];
    let new = [
        (json!({"name": "new__slow_compute", "arguments": {"seconds": 1}}), "computed for 1 s"),
        (json!({"name": "new__confirm_delete", "arguments": {"filename": "a.txt"}}), "confirmed: true"),
    ];
    let ways: [(_, &[(Value, &str)]); 2] =
        [(gateway("all", &upstream::everything()), &old), (gateway("new", &pinned("modern")), &new)];
    for (gateway, wanted) in ways {
        let calls: Vec<_> = wanted.iter().map(|(call, _)| call).collect();
        let script =
            json!({"url": gateway.url("/mcp"), "headers": {"X-API-Key": KEY}, "calls": calls, "answers": answers});
        let output = node().arg("tasks.mjs").arg(script.to_string()).output().expect("the client starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (index, (_, text)) in wanted.iter().enumerate() {
            let said = &outcomes[index]["result"]["content"][0]["text"];
            assert!(said.as_str().is_some_and(|said| said.contains(text)), "{outcomes}");
        }
    }
}

#[test]
fn what_can_only_be_a_task_needs_a_client_that_knows_them_and_can_be_told_from_others() {
    let required = gateway("all", &upstream::everything());
    let call = json!({"name": RESEARCH, "arguments": {"topic": "otters"}});
    let refused = ask(&required.client(), false, "tools/call", &call);
    assert_eq!((refused.status, code(&refused)), (400, json!(-32021)));
    assert_eq!(refused.json()["error"]["data"]["requiredCapabilities"], json!({"extensions": {EXTENSION: {}}}));

    let everybody = "auth: {anonymous: {roles: [tester]}}\n";
    let entry = format!("{{url: \"{}\"}}", upstream::everything());
    let open = Gateway::over_with(&[("all", &entry)], everybody);
    let guest = Client::new(open.main);
    wait_until("the upstream's tools", || !guest.tools().is_empty());
    let refused = ask(&guest, true, "tools/call", &call).json();
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(refused["result"]["content"][0]["text"].as_str().unwrap().contains("credential"), "{refused}");
}
