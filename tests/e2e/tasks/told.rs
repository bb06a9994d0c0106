//! `notifications/tasks`: clients that listen are told how their tasks stand.

use portcullis_tests::http::Answer;
use portcullis_tests::{Value, json, upstream};

use super::{Client, OTHER_KEY, RESEARCH, ask, asked, gateway, pinned};

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

fn listen(client: &Client, tasks: &[&Value]) -> Answer {
    client.open_prepared(&asked(client, true, "subscriptions/listen", &json!({"notifications": {"taskIds": tasks}})))
}

fn next(stream: &mut Answer) -> Value {
    stream.next_event().unwrap().expect("another message")
}

/// Listens to a task until it has ended; what was told last.
fn told(client: &Client, task: &Value) -> Value {
    let mut stream = listen(client, &[task, &json!("7")]);
    let first = next(&mut stream);
    assert_eq!(first["params"]["notifications"]["taskIds"], json!([task]), "{first}");
    let mut before = Value::Null;
    loop {
        let update = next(&mut stream);
        assert_eq!(update["method"], "notifications/tasks", "{update}");
        assert!(!update["params"]["_meta"][TAG].is_null(), "{update}");
        assert_eq!(update["params"]["taskId"], *task, "{update}");
        assert_ne!(update, before, "only what is new");
        if update["params"]["status"] != "working" {
            return update["params"].clone();
        }
        before = update;
    }
}

#[test]
fn a_client_is_told_of_its_tasks_until_they_have_ended() {
    let [old, new] = [gateway("all", &upstream::everything()), gateway("new", &pinned("modern"))];
    let calls = [
        (&old, json!({"name": RESEARCH, "arguments": {"topic": "otters"}}), "otters"),
        (&new, json!({"name": "new__slow_compute", "arguments": {"seconds": 1}}), "computed for 1 s"),
    ];
    for (gateway, call, text) in calls {
        let client = gateway.client();
        let made = ask(&client, true, "tools/call", &call).json();
        let task = &made["result"]["taskId"];
        let last = told(&client, task);
        assert_eq!(last["status"], "completed", "{last}");
        assert!(last["result"]["content"][0]["text"].as_str().unwrap().contains(text), "{last}");
        // It is what asking would have told.
        let got = ask(&client, true, "tasks/get", &json!({"taskId": task})).json();
        assert_eq!(got["result"]["result"], last["result"]);
        // Nobody else is told.
        let mut stranger = listen(&client.key(OTHER_KEY), &[task]);
        assert!(next(&mut stranger)["params"]["notifications"].get("taskIds").is_none());
    }
}

#[test]
fn only_clients_that_know_tasks_are_told_of_them() {
    let gateway = gateway("new", &pinned("modern"));
    let params = |tasks: Value| json!({"notifications": {"taskIds": tasks}});
    let refused = ask(&gateway.client(), false, "subscriptions/listen", &params(json!(["t"])));
    assert_eq!((refused.status, super::code(&refused)), (400, json!(-32021)));
    for tasks in [json!("t"), json!(vec!["t"; 17])] {
        let refused = ask(&gateway.client(), true, "subscriptions/listen", &params(tasks));
        assert_eq!(super::code(&refused), -32602);
    }
}
