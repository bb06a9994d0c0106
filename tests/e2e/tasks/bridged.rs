//! Tasks of a server with a handshake for stateless clients, which know those
//! of the extension.

use portcullis_tests::patience::wait_until;
use portcullis_tests::{Value, json, upstream};

use super::{Client, EXTENSION, OTHER_KEY, RESEARCH, ask, code, gateway};

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
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for stranger in &strangers {
            assert_eq!(code(&ask(stranger, true, method, &about)), -32602, "{method}");
        }
        assert_eq!(code(&ask(&client, true, method, &json!({"taskId": "7"}))), -32602, "{method}");
        assert_eq!(code(&ask(&client, false, method, &about)), -32021, "{method}");
    }
    let done = ended(&client, &about);
    assert_eq!(done["status"], "completed", "{done}");
    assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains("otters"), "{done}");
    assert!(!done["result"].to_string().contains("related-task"), "{done}");
    // That it has ended is no error.
    assert_eq!(ask(&client, true, "tasks/cancel", &about).json()["result"], json!({"resultType": "complete"}));
    assert_eq!(
        ask(&client, true, "tasks/update", &json!({"taskId": about["taskId"], "inputResponses": {}})).status,
        200
    );
    assert_eq!(code(&ask(&client, true, "tasks/update", &about)), -32602);

    let running = begin(&client, &json!({"topic": "voles"}));
    assert_eq!(ask(&client, true, "tasks/cancel", &running).json()["result"], json!({"resultType": "complete"}));
    assert_eq!(ended(&client, &running)["status"], "cancelled");
}

#[test]
fn a_task_asks_a_stateless_client() {
    let gateway = gateway("all", &upstream::everything());
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

#[test]
fn what_can_only_be_a_task_needs_a_client_that_knows_them_and_can_be_told_from_others() {
    let required = gateway("all", &upstream::everything());
    let call = json!({"name": RESEARCH, "arguments": {"topic": "otters"}});
    let refused = ask(&required.client(), false, "tools/call", &call);
    assert_eq!((refused.status, code(&refused)), (400, json!(-32021)));
    assert_eq!(refused.json()["error"]["data"]["requiredCapabilities"], json!({"extensions": {EXTENSION: {}}}));

    let everybody = "auth: {anonymous: {roles: [tester]}}\n";
    let entry = format!("{{url: \"{}\"}}", upstream::everything());
    let open = portcullis_tests::gateway::Gateway::over_with(&[("all", &entry)], everybody);
    let guest = Client::new(open.main);
    wait_until("the upstream's tools", || !guest.tools().is_empty());
    let refused = ask(&guest, true, "tools/call", &call).json();
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(refused["result"]["content"][0]["text"].as_str().unwrap().contains("credential"), "{refused}");
}
