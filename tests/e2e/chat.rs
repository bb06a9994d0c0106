//! The model in the process, behind its tool.

mod crowd;
mod openai;
mod refusals;

use portcullis_tests::client::Client;
use portcullis_tests::command::portcullis;
use portcullis_tests::gateway::{Gateway, Home, KEY, standard};
use portcullis_tests::http::Answer;
use portcullis_tests::patience::wait_until;
use portcullis_tests::sdk::Sdk;
use portcullis_tests::{Value, json};

const BUILT_IN: &str = "models: {chat: {path: builtin}}\n";

/// A gateway with the built-in model.
fn chatting() -> Gateway {
    Gateway::over_with(&[], BUILT_IN)
}

fn question(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}], "temperature": 0, "maxTokens": 64})
}

/// The result of a call that was answered.
fn result(client: &Client, arguments: &Value) -> Value {
    let reply = client.call("chat", arguments);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let result = reply.json()["result"].clone();
    assert_ne!(result["isError"], true, "{result}");
    result
}

/// What a stream says: the messages of its progress, and its response.
fn streamed(mut answer: Answer) -> (Vec<String>, Value) {
    let mut pieces = Vec::new();
    loop {
        let event = answer.next_event().unwrap().expect("the response comes last");
        if event["method"] != "notifications/progress" {
            return (pieces, event);
        }
        assert_eq!(event["params"]["progressToken"], "t");
        assert_eq!(event["params"]["progress"], pieces.len() + 1, "progress grows");
        pieces.push(event["params"]["message"].as_str().unwrap().to_owned());
    }
}

#[test]
fn the_tool_bears_the_models_name_and_answers() {
    let gateway = chatting();
    assert_eq!(gateway.client().tools(), ["chat"]);
    let result = result(&gateway.client(), &question("What is Portcullis?"));
    let structured = &result["structuredContent"];
    let text = structured["text"].as_str().unwrap();
    assert!(!text.is_empty());
    assert_eq!(result["content"], json!([{"type": "text", "text": text}]));
    assert_eq!(structured["model"], "chat");
    assert!(["stop", "length"].iter().any(|reason| structured["finishReason"] == *reason), "{structured}");
    for kind in ["promptTokens", "completionTokens"] {
        assert!(structured["usage"][kind].as_u64().unwrap() > 0, "{structured}");
    }
}

#[test]
fn text_arrives_as_it_is_made_in_both_eras() {
    let gateway = chatting();
    let arguments = question("What is a policy?");
    let whole = result(&gateway.client(), &arguments)["structuredContent"]["text"].clone();
    let (pieces, response) = streamed(gateway.client().open_call("chat", &arguments, &json!("t")));
    assert!(pieces.len() > 1, "{pieces:?}");
    assert_eq!(pieces.concat(), whole.as_str().unwrap());
    assert_eq!(response["result"]["structuredContent"]["text"], whole);

    let params = json!({"name": "chat", "arguments": arguments, "_meta": {"progressToken": "t"}});
    let (pieces, response) =
        streamed(gateway.client().prepare_modern("tools/call", &params).open(gateway.main).unwrap());
    assert_eq!(pieces.concat(), whole.as_str().unwrap());
    assert_eq!(response["result"]["resultType"], "complete");
}

#[test]
fn public_clients_get_the_text_as_progress() {
    let gateway = chatting();
    let calls = json!([{"name": "chat", "arguments": question("hello")}]);
    for sdk in Sdk::ALL {
        let report = sdk.run(&gateway.url("/mcp"), KEY, &calls);
        let call = &report["calls"][0];
        assert!(call["result"]["content"][0]["text"].is_string(), "{sdk:?}: {call}");
        let progress: Vec<f64> = call["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert!(!progress.is_empty() && progress.is_sorted_by(|a, b| a < b), "{sdk:?}: {progress:?}");
    }
}

#[test]
fn the_same_seed_makes_the_same_text() {
    let gateway = chatting();
    let mut arguments = question("hello");
    (arguments["temperature"], arguments["seed"]) = (json!(1.5), json!(7));
    let texts = [(); 2].map(|()| result(&gateway.client(), &arguments)["structuredContent"]["text"].clone());
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn a_stop_text_ends_the_answer_and_is_no_part_of_it() {
    let gateway = chatting();
    let whole = result(&gateway.client(), &question("What is Portcullis?"));
    let whole = whole["structuredContent"]["text"].as_str().unwrap();
    let stop: String = whole.chars().skip(8).take(5).collect();
    let mut arguments = question("What is Portcullis?");
    arguments["stop"] = json!([stop]);
    let stopped = result(&gateway.client(), &arguments);
    assert_eq!(stopped["structuredContent"]["text"], whole.split(&stop).next().unwrap());
    assert_eq!(stopped["structuredContent"]["finishReason"], "stop");
}

#[test]
fn a_conversation_that_goes_on_costs_what_is_new() {
    let gateway = chatting();
    let first = question("What is a session?");
    let answer = result(&gateway.client(), &first)["structuredContent"]["text"].clone();
    let mut next = first;
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": answer}));
    messages.push(json!({"role": "user", "content": "thanks"}));
    let result = result(&gateway.client(), &next);
    assert!(result["_meta"]["portcullis/cachedTokens"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn a_client_that_goes_away_frees_the_model() {
    let gateway = Gateway::over_with(&[], "models: {chat: {path: builtin, maxConcurrent: 1}}\n");
    let mut arguments = question("Tell me all you know.");
    (arguments["maxTokens"], arguments["temperature"]) = (json!(4000), json!(2));
    let mut answer = gateway.client().open_call("chat", &arguments, &json!("t"));
    answer.next_event().unwrap().expect("the beginning");
    drop(answer);
    wait_until("the model to be free", || {
        let of = |family, labels: &[(&str, &str)]| gateway.metric(family, labels);
        of("portcullis_model_answers_total", &[]) >= 1.0 && of("portcullis_model_requests", &[]) == 0.0
    });
    result(&gateway.client(), &question("hello"));
}

#[test]
fn what_a_model_does_is_counted() {
    let gateway = chatting();
    let usage = result(&gateway.client(), &question("hello"))["structuredContent"]["usage"].clone();
    let of_chat = [("model", "chat")];
    let tokens = |kind| gateway.metric("portcullis_model_tokens_total", &[("model", "chat"), ("kind", kind)]);
    wait_until("the tokens", || tokens("completion") == usage["completionTokens"].as_f64().unwrap());
    assert_eq!(tokens("prompt"), usage["promptTokens"].as_f64().unwrap());
    for family in [
        "portcullis_model_up",
        "portcullis_model_info",
        "portcullis_model_answers_total",
        "portcullis_model_time_to_first_token_seconds_count",
    ] {
        assert_eq!(gateway.metric(family, &of_chat), 1.0, "{family}");
    }
    assert!(gateway.metric("portcullis_model_memory_bytes", &[("model", "chat"), ("kind", "weights")]) > 0.0);
    let of_convention = [("gen_ai_request_model", "chat"), ("gen_ai_operation_name", "chat")];
    assert_eq!(gateway.metric("gen_ai_server_request_duration_seconds_count", &of_convention), 1.0);
    let calls = [("tool_name", "chat"), ("upstream", "chat"), ("status", "success")];
    assert_eq!(gateway.metric("mcp_tool_invocations_total", &calls), 1.0);
}

#[test]
fn several_models_are_several_tools_and_a_reload_brings_more() {
    let gateway = Gateway::over_with(&[], "models:\n  chat: {path: builtin}\n");
    result(&gateway.client(), &question("hello"));
    let loaded = || gateway.log.text().matches("the model is ready").count();
    wait_until("its line", || loaded() == 1);
    let more = "models:\n  chat: {path: builtin}\n  other: {path: builtin, contextLength: 256}\n";
    gateway.home.configure(&standard(&[], more));
    wait_until("the other model", || gateway.metric("portcullis_model_up", &[("model", "other")]) == 1.0);
    wait_until("its tool", || gateway.client().tools() == ["chat", "other"]);
    wait_until("the other's line", || loaded() > 1);
    assert_eq!(loaded(), 2, "the one that was there is not loaded again");
    gateway.home.configure(&standard(&[], "models:\n  other: {path: builtin, contextLength: 256}\n"));
    wait_until("the first to go", || gateway.client().tools() == ["other"]);
    wait_until("its metrics to go", || {
        !gateway.admin_get("/metrics").text().contains("portcullis_model_up{model=\"chat\"}")
    });
}

#[test]
fn the_rest_flavour_reaches_the_model_too() {
    let gateway = chatting();
    let body = json!({"name": "chat", "arguments": question("hello")});
    let answer = gateway.client().at("/mcp/v1/tools/invoke").post(body.to_string()).json();
    assert_eq!(answer["success"], true, "{answer}");
}

#[test]
fn what_runs_where_is_told_by_a_command() {
    let home = Home::open();
    home.configure(&standard(&[], BUILT_IN));
    let told = portcullis(home.path(), &["models", "-c", "portcullis.yaml", "--output", "json"]);
    assert_eq!(told.code, 0, "{told:?}");
    let told = told.json();
    assert_eq!(told["models"][0]["name"], "chat");
    assert!(
        told["models"][0]["device"].is_string() && told["models"][0]["weightBytes"].as_u64().unwrap() > 0,
        "{told}"
    );
    assert!(told["adapters"].is_array());
    let told = portcullis(home.path(), &["models", "-c", "portcullis.yaml"]);
    assert!(told.stdout.contains("chat (builtin)") && told.stdout.contains("adapters"), "{told:?}");
}
