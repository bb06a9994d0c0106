//! OpenAI's own client at OpenAI's paths.

use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::peer::python;
use portcullis_tests::{Value, json};

use super::chatting;

const POLICIES: &str = "\
policies:
  - name: one
    subjects: {roles: [tester]}
    tools: {allow: [chat]}
    rateLimits: [{tools: [chat], limit: 2/hour}]
";

/// What the client makes of these calls.
fn run(gateway: &Gateway, key: &str, calls: &Value) -> Value {
    let script = json!({"url": gateway.url("/v1"), "key": key, "calls": calls});
    let output = python("openai").arg("openai_client.py").arg(script.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A call, with this beside the question.
fn ask(more: &Value) -> Value {
    let mut call = json!({"model": "chat", "messages": [{"role": "user", "content": "hello"}], "temperature": 0});
    for (name, value) in more.as_object().unwrap() {
        call[name] = value.clone();
    }
    call
}

#[test]
fn a_completion_comes_whole_or_in_chunks() {
    let gateway = chatting();
    let streamed = json!({"stream": true, "stream_options": {"include_usage": true}});
    let parts = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]});
    let report = run(&gateway, KEY, &json!([ask(&json!({})), ask(&streamed), ask(&parts)]));
    assert_eq!(report["models"], json!(["chat"]));
    let whole = &report["calls"][0]["completion"];
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty() && whole["object"] == "chat.completion" && whole["model"] == "chat", "{whole}");
    let usage = &whole["usage"];
    let (prompt, completion) = (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert_eq!(usage["total_tokens"], prompt + completion);

    let chunks = report["calls"][1]["chunks"].as_array().unwrap_or_else(|| panic!("{report}"));
    let content = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    assert_eq!(chunks.iter().filter_map(content).collect::<String>(), text);
    let (last, rest) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(completion)));
    assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    assert_eq!(report["calls"][2]["completion"]["choices"][0]["message"]["content"], text);
}

#[test]
fn refusals_are_what_the_client_expects() {
    let gateway = Gateway::over_with(&[], "models: {chat: {path: builtin, contextLength: 128}}\n");
    let long = json!({"messages": [{"role": "user", "content": "gate ".repeat(1000)}]});
    let calls = [
        (json!({"model": "gpt-5"}), "NotFoundError", 404, json!("model_not_found"), json!("model")),
        (json!({"temperature": 9}), "BadRequestError", 400, json!("invalid_value"), json!("temperature")),
        (json!({"n": 2}), "BadRequestError", 400, json!("unsupported_parameter"), json!("n")),
        (long, "BadRequestError", 400, json!("context_length_exceeded"), json!("messages")),
    ];
    let asked: Vec<Value> = calls.iter().map(|(more, ..)| ask(more)).collect();
    let report = run(&gateway, KEY, &json!(asked));
    for (index, (more, kind, status, code, param)) in calls.iter().enumerate() {
        let expected = json!({"kind": kind, "status": status, "code": code, "param": param});
        assert_eq!(report["calls"][index]["error"], expected, "{more}");
    }
}

#[test]
fn policies_and_limits_hold_at_this_door_too() {
    let models = "models:\n  chat: {path: builtin}\n  hidden: {path: builtin}\n";
    let gateway = Home::with_policies(POLICIES).serve(&standard(&[], models));
    let hidden = ask(&json!({"model": "hidden"}));
    let report = run(&gateway, KEY, &json!([hidden, ask(&json!({})), ask(&json!({})), ask(&json!({}))]));
    assert_eq!(report["models"], json!(["chat"]));
    let kind = |index: usize| report["calls"][index]["error"]["kind"].clone();
    assert_eq!(
        [kind(0), kind(1), kind(2), kind(3)],
        [json!("NotFoundError"), Value::Null, Value::Null, json!("RateLimitError")]
    );
}

#[test]
fn without_a_key_nobody_is_answered() {
    let gateway = chatting();
    for (method, path) in [("POST", "/v1/chat/completions"), ("GET", "/v1/models")] {
        let client = portcullis_tests::client::Client::new(gateway.main).at(path);
        let reply = if method == "POST" { client.post(ask(&json!({})).to_string()) } else { client.get() };
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (401, &json!("invalid_api_key")), "{path}");
        assert!(reply.header("WWW-Authenticate").starts_with("Bearer"));
    }
}
