//! What a model is not asked, or does not answer.

use std::thread;

use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::http::Reply;
use portcullis_tests::json;
use portcullis_tests::scripted::Scripted;

use super::{chatting, question, result};

/// What a tool result says that is an error.
fn error_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let message = reply.json();
    assert_eq!(message["result"]["isError"], true, "{message}");
    message["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn bad_arguments_are_named() {
    let gateway = chatting();
    for (arguments, named) in [
        (json!({}), "`messages`"),
        (json!({"messages": [{"role": "wizard", "content": "x"}]}), "`messages.0.role`"),
        (json!({"messages": [{"role": "user", "content": "x"}], "temperature": 9}), "`temperature`"),
        (json!({"messages": [{"role": "user", "content": "x"}], "maxTokens": 0}), "`maxTokens`"),
        (json!({"messages": [{"role": "user", "content": "x"}], "tempreature": 1}), "`tempreature`"),
    ] {
        let error = error_of(&gateway.client().call("chat", &arguments));
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_prompt_beyond_the_context_is_refused_with_both_numbers() {
    let gateway = Gateway::over_with(&[], "models: {chat: {path: builtin, contextLength: 128}}\n");
    for length in [1_000, 1 << 20] {
        let error = error_of(&gateway.client().call("chat", &question(&"gate ".repeat(length / 5))));
        assert!(error.contains("`messages`") && error.contains("128"), "{error}");
        let numbers = error.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
        assert!(numbers.clone().any(|number| number > 128), "{error}");
    }
    result(&gateway.client(), &question("hello"));
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let gateway = Gateway::over_with(&[], "models: {chat: {path: builtin, maxConcurrent: 1, maxQueue: 1}}\n");
    let mut arguments = question("Tell me all you know.");
    (arguments["maxTokens"], arguments["temperature"]) = (json!(2000), json!(2));
    let replies: Vec<Reply> = thread::scope(|scope| {
        let callers: Vec<_> = (0..24).map(|_| scope.spawn(|| gateway.client().call("chat", &arguments))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert!(!refused.is_empty(), "nobody was refused");
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 503)));
    for reply in refused {
        let error = &reply.json()["error"];
        assert_eq!(error["code"], -31503, "{error}");
        let seconds: u64 = reply.header("Retry-After").parse().unwrap();
        assert_eq!(error["data"]["retryAfterSeconds"], seconds);
    }
    result(&gateway.client(), &question("hello"));
}

#[test]
fn calls_to_upstreams_are_served_while_the_model_is_busy() {
    let upstream = Scripted::legacy();
    let gateway =
        Gateway::over_with(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))], "models: {chat: {path: builtin}}\n");
    let mut arguments = question("Tell me all you know.");
    (arguments["maxTokens"], arguments["temperature"]) = (json!(2000), json!(2));
    let _busy = gateway.client().open_call("chat", &arguments, &json!("t"));
    assert_eq!(gateway.client().call("up__echo", &json!({"a": 1})).status, 200);
}

#[test]
fn a_model_that_cannot_be_loaded_takes_nobody_else_down() {
    let home = Home::open();
    for (name, content) in [("config.json", "{\"model_type\": \"abacus\"}"), ("tokenizer.json", "{}")] {
        home.write(&format!("broken/{name}"), content);
    }
    home.write("broken/model.safetensors", "not weights");
    let upstream = Scripted::legacy();
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let gateway = home.serve(&standard(&[("up", &entry)], "models: {chat: {path: broken}}\n"));
    let refused = gateway.client().call("chat", &question("hello"));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!(-31503)), "{}", refused.text());
    assert_eq!(gateway.client().call("up__echo", &json!({})).status, 200);
    assert_eq!(gateway.metric("portcullis_model_up", &[("model", "chat")]), 0.0);
    let told = gateway.log.wait_for("abacus");
    assert!(told.contains("\"error\""), "{told}");
}

#[test]
fn what_callers_say_stays_out_of_the_log() {
    let gateway = chatting();
    result(&gateway.client(), &question("s3cret-word"));
    gateway.client().call("chat", &json!({"messages": "s3cret-word"}));
    assert!(!gateway.log.text().contains("s3cret-word"), "{}", gateway.log.text());
}
