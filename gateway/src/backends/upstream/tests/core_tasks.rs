//! Tasks of a server with a handshake for stateless clients.

use serde_json::{Value, json};

use super::super::links::SessionKey;
use super::*;
use crate::mcp::task::{Core, Task, TaskVerb};

const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{"tasks":{"requests":{"tools":{"call":{}}}}}}"#;
const TASK: &str = r#"{"taskId":"own-7","status":"working","createdAt":"c","lastUpdatedAt":"u","ttl":60000}"#;
const KNOWS: &str = r#""io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
const RELATED: &str = r#""_meta":{"io.modelcontextprotocol/related-task":{"taskId":"own-7"}}"#;

/// A server whose tool's calls become tasks as `support` says, and that says
/// this of them.
fn server(support: &'static str, say: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Fixture {
    Fixture::new(move |heard| match heard.method.as_str() {
        "initialize" => Say::Session(format!("s{}", heard.nth), INITIALIZED.to_owned()),
        "tools/list" => {
            Say::result(&format!(r#"{{"tools":[{{"name":"find","execution":{{"taskSupport":"{support}"}}}}]}}"#))
        }
        "tools/call" if heard.body.contains(r#""task":"#) => Say::result(&format!(r#"{{"task":{TASK}}}"#)),
        method if method.starts_with("tasks/") => say(heard),
        _ => legacy(heard),
    })
}

fn standing(status: &str) -> Say {
    Say::result(&TASK.replace("working", status))
}

/// A call whose client brings a `task` of its own, which is of the other era.
fn call(meta: &str) -> McpRequest {
    let params = format!(r#"{{"task":{{"ttl":1}},"name":"crm__find","_meta":{{{meta}}}}}"#);
    let message = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#);
    request(Version::MODERN, &message)
}

fn able() -> Capabilities {
    Capabilities::read(r#"{"elicitation":{}}"#)
}

/// What tells the session of the client from others; a call opens it.
async fn session(fixture: &Fixture) -> Option<u128> {
    let key = SessionKey::Pool { principal: "apiKey:ci".into(), abilities: able() };
    let links = &fixture.upstream.shared.links;
    if links.kept(&key).is_none() {
        fixture.call(McpRequest { abilities: able(), ..call(KNOWS) }).await.unwrap();
    }
    links.kept(&key).unwrap().mark
}

async fn ask(fixture: &Fixture, verb: TaskVerb, more: &str) -> Result<Value, Rejection> {
    let session = session(fixture).await;
    ask_in(fixture, session, verb, more).await
}

async fn ask_in(fixture: &Fixture, session: Option<u128>, verb: TaskVerb, more: &str) -> Result<Value, Rejection> {
    let core = Some(Core { abilities: able(), session, home: None });
    let (upstream, tool, own) = ("crm".into(), "crm__find".into(), "own-7".into());
    let task = Arc::new(Task { upstream, tool, own, core });
    let method = verb.method();
    let message = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{"taskId":"sealed"{more}}}}}"#);
    let operation = Operation::Task { verb, task: Arc::clone(&task) };
    let mut request = test_request::request(operation, &message);
    (request.version, request.abilities) = (Version::MODERN, able());
    match Arc::clone(&fixture.upstream).call(request, Callee::Task(task)).await? {
        Answer::Message { message, .. } => Ok(serde_json::from_slice::<Value>(&message).unwrap()["result"].take()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_becomes_a_task_where_both_sides_know_them() {
    for (support, meta, becomes_one) in
        [("optional", KNOWS, true), ("required", KNOWS, true), ("optional", "", false), ("forbidden", KNOWS, false)]
    {
        let fixture = server(support, legacy);
        let heard = fixture.hear(call(meta)).await.pop().unwrap();
        let result: Value = serde_json::from_str(&heard).unwrap();
        let sent: Value = serde_json::from_str(&fixture.script.heard("tools/call")[0].body).unwrap();
        assert_eq!(sent["params"].get("task"), becomes_one.then_some(&json!({})), "{support}: {sent}");
        let kind = if becomes_one { "task" } else { "complete" };
        assert_eq!(result["result"]["resultType"], kind, "{support}: {heard}");
        assert!(!heard.contains("own-7"), "{heard}");
        assert_eq!(result["result"]["ttlMs"] == json!(60_000), becomes_one, "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_be_a_task_is_refused_to_who_cannot_have_one() {
    let fixture = server("required", legacy);
    assert!(matches!(fixture.call(call("")).await, Err(Rejection::MissingCapability { .. })));
    let guest = McpRequest { principal: Arc::new(Principal::anonymous([])), ..call(KNOWS) };
    assert!(matches!(fixture.call(guest).await, Err(Rejection::CannotBridge { .. })));
    assert!(fixture.script.heard("tools/call").is_empty());
}

#[tokio::test(start_paused = true)]
async fn how_a_task_stands_comes_with_what_came_of_it() {
    let failed = format!(r#"{{"content":[],"isError":true,{RELATED}}}"#);
    for (status, came, expected) in [
        ("working", None, json!({"status": "working"})),
        ("cancelled", None, json!({"status": "cancelled"})),
        (
            "failed",
            Some(Say::result as fn(&str) -> Say),
            json!({"status": "completed", "result": {"resultType": "complete", "content": [], "isError": true, "_meta": {}}}),
        ),
        (
            "failed",
            Some(|_| Say::error(-32002)),
            json!({"status": "failed", "error": {"code": -32602, "message": "no"}}),
        ),
    ] {
        let failed = failed.clone();
        let fixture = server("optional", move |heard| match heard.method.as_str() {
            "tasks/result" => came.expect("it has not ended")(&failed),
            _ => standing(status),
        });
        let mut told = ask(&fixture, TaskVerb::Get, "").await.unwrap();
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(told[member], *value, "{status}: {told}");
        }
        let beside = json!({"resultType": "complete", "taskId": "sealed", "createdAt": "c", "lastUpdatedAt": "u", "ttlMs": 60_000});
        let told = told.as_object_mut().unwrap();
        told.retain(|member, _| !expected.as_object().unwrap().contains_key(member));
        assert_eq!(Value::Object(told.clone()), beside);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_gone_is_unknown() {
    let gone: [fn(&Heard) -> Say; 3] = [
        |_| Say::error(-32602),
        |_| Say::Fail(crate::backends::transport::TransportError::SessionLost),
        |_| Say::Refusal(400, -32000),
    ];
    for say in gone {
        let fixture = server("optional", say);
        for (verb, more) in [(TaskVerb::Get, ""), (TaskVerb::Cancel, ""), (TaskVerb::Update, r#","inputResponses":{}"#)]
        {
            assert!(matches!(ask(&fixture, verb, more).await, Err(Rejection::UnknownTask)), "{verb:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_of_another_session_is_not_looked_at() {
    let fixture = server("optional", |_| standing("working"));
    assert_eq!(ask(&fixture, TaskVerb::Get, "").await.unwrap()["status"], "working");
    for session in [Some(7), None] {
        let asked = ask_in(&fixture, session, TaskVerb::Get, "").await;
        assert!(matches!(asked, Err(Rejection::UnknownTask)), "{session:?}");
    }
    assert_eq!(fixture.script.heard("tasks/get").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_server_says_nothing_of_the_task() {
    for (said, kind) in [
        (Say::error as fn(i64) -> Say, UpstreamFailureKind::Failed),
        (|_| Say::Refusal(503, -32000), UpstreamFailureKind::Failed),
        (|_| standing("banana"), UpstreamFailureKind::Garbage),
        (|_| Say::result("{}"), UpstreamFailureKind::Garbage),
    ] {
        let fixture = server("optional", move |_| said(-32603));
        match ask(&fixture, TaskVerb::Get, "").await {
            Err(Rejection::Upstream(failure)) => assert_eq!(failure.kind, kind),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_call_that_becomes_a_task_does_not_name_it() {
    let told = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":1,{RELATED}}}}}"#
    );
    let fixture = Fixture::new(move |heard| match heard.method.as_str() {
        "initialize" => Say::Session("s".to_owned(), INITIALIZED.to_owned()),
        "tools/list" => Say::result(r#"{"tools":[{"name":"find","execution":{"taskSupport":"optional"}}]}"#),
        "tools/call" => {
            let made = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"task":{TASK}}}}}"#);
            Say::Stream(vec![told.clone(), made])
        }
        _ => legacy(heard),
    });
    let level = r#","io.modelcontextprotocol/logLevel":"debug""#;
    let heard = fixture.hear(call(&format!("{KNOWS}{level}"))).await;
    assert_eq!(heard.len(), 2);
    assert!(heard[0].contains("notifications/message") && !heard.concat().contains("own-7"), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_asked_for_is_not_passed_on() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "initialize" => Say::Session("s".to_owned(), INITIALIZED.to_owned()),
        "tools/call" => Say::result(&format!(r#"{{"task":{TASK}}}"#)),
        _ => legacy(heard),
    });
    assert!(matches!(fixture.call(call(KNOWS)).await, Err(Rejection::CannotBridge { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_legacy_client_is_not_sent_to_a_stateless_server() {
    let fixture = Fixture::new(modern);
    let message = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"task":{},"name":"crm__find"}}"#;
    fixture.hear(request(Version::V2025_11_25, message)).await;
    let sent: Value = serde_json::from_str(&fixture.script.heard("tools/call")[0].body).unwrap();
    assert!(sent["params"].get("task").is_none() && sent["params"]["_meta"].is_object(), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_cancelled_without_an_error() {
    let fixture = server("optional", |heard| match heard.method.as_str() {
        "tasks/cancel" => Say::error(-32602),
        _ => standing("completed"),
    });
    assert_eq!(ask(&fixture, TaskVerb::Cancel, "").await.unwrap(), json!({"resultType": "complete"}));
}

#[tokio::test(start_paused = true)]
async fn questions_of_a_task_are_asked_together_and_answered_once_each() {
    let question = |id: u32| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{"message":"m{id}",{RELATED}}}}}"#
        )
    };
    let asked = [question(1), question(2), r#"{"jsonrpc":"2.0","id":3,"method":"roots/list"}"#.to_owned()];
    let fixture = server("optional", move |heard| match heard.method.as_str() {
        "tasks/result" => Say::Stream(asked.to_vec()),
        _ => standing("input_required"),
    });
    let told = ask(&fixture, TaskVerb::Get, "").await.unwrap();
    let keys: Vec<&String> = told["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!((&told["status"], keys.len()), (&json!("input_required"), 2), "{told}");
    assert!(!told.to_string().contains("own-7"), "{told}");
    let answer = |key: &str| format!(r#","inputResponses":{{"{key}":{{"action":"decline"}},"input-99":{{}}}}"#);
    for key in [keys[0], keys[0], keys[1]] {
        assert_eq!(ask(&fixture, TaskVerb::Update, &answer(key)).await.unwrap(), json!({"resultType": "complete"}));
    }
    let heard = fixture.script.heard("response").into_iter();
    let mut heard: Vec<Value> = heard.map(|heard| serde_json::from_str(&heard.body).unwrap()).collect();
    heard.sort_by_key(|heard| heard["id"].as_u64());
    let ids: Vec<_> = heard.iter().map(|heard| heard["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(heard[0]["result"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], "own-7");
    assert!(heard[2]["error"].is_object(), "nobody declared roots");
    // Nothing is left to ask, and one request waits for the result.
    assert_eq!(ask(&fixture, TaskVerb::Get, "").await.unwrap()["status"], "working");
    assert_eq!(fixture.script.heard("tasks/result").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_is_refused_in_the_end() {
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"m"}}"#;
    let fixture = server("optional", move |heard| match heard.method.as_str() {
        "tasks/result" => Say::Stream(vec![question.to_owned()]),
        _ => standing("input_required"),
    });
    ask(&fixture, TaskVerb::Get, "").await.unwrap();
    assert!(fixture.script.heard("response").is_empty());
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    assert!(fixture.script.heard("response")[0].body.contains("error"));
    // Nobody asks any more, and in the end nobody waits.
    assert_eq!(ask(&fixture, TaskVerb::Get, "").await.unwrap()["status"], "working");
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    assert!(fixture.upstream.shared.inquiries.is_empty());
    assert_eq!(fixture.script.heard("notifications/cancelled").len(), 1);
}
