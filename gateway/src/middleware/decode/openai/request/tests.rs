use super::*;

fn read(body: &Value) -> Result<Asked, Rejection> {
    let mut asked = Asked::read(body.to_string().as_bytes())?;
    asked.refusal.take().map_or(Ok(asked), Err)
}

/// A good body, and this beside it.
fn with(name: &str, value: Value) -> Value {
    let mut body = json!({"model": "chat", "messages": [{"role": "user", "content": "hi"}]});
    body[name] = value;
    body
}

fn call(body: &Value) -> Value {
    serde_json::from_slice(&read(body).unwrap().call_of("chat")).unwrap()
}

#[test]
fn a_request_is_the_call_of_the_models_tool() {
    let body = json!({
        "model": "chat",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "refusal": null, "tool_calls": null},
        ],
        "max_completion_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1,
        "repetition_penalty": 1.1, "seed": 7, "stop": "x", "stream": false,
    });
    let expected = json!({
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "ab"},
            {"role": "assistant", "content": "c"},
        ],
        "maxTokens": 5, "temperature": 0.5, "topP": 0.9, "topK": 3, "minP": 0.1, "repetitionPenalty": 1.1,
        "seed": 7, "stop": "x",
    });
    assert_eq!(call(&body)["params"], json!({"name": "chat", "arguments": expected}));
}

#[test]
fn a_stream_is_a_call_with_a_progress_token() {
    let mut body = with("stream", json!(true));
    assert_eq!(call(&body)["params"]["_meta"], json!({"progressToken": 0}));
    let asked = read(&body).unwrap();
    assert!(asked.streams && !asked.includes_usage);
    body["stream_options"] = json!({"include_usage": true, "include_obfuscation": false});
    assert!(read(&body).unwrap().includes_usage);
}

#[test]
fn what_changes_nothing_is_passed_over() {
    for (name, value) in [
        ("user", json!("ann")),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("service_tier", json!("auto")),
        ("parallel_tool_calls", json!(true)),
        ("x_unknown", json!(1)),
        ("n", json!(1)),
        ("tools", json!([])),
        ("tool_choice", json!("none")),
        ("response_format", json!({"type": "text"})),
        ("logprobs", json!(false)),
        ("logit_bias", json!({})),
        ("frequency_penalty", json!(0.0)),
        ("max_tokens", json!(null)),
        ("stop", json!(null)),
        ("stream", json!(null)),
        ("stop", json!("")),
        ("top_k", json!(-1)),
        ("stream_options", json!(null)),
    ] {
        let body = with(name, value);
        assert_eq!(call(&body), call(&with("user", json!("ann"))), "{body}");
    }
}

#[test]
fn what_is_wrong_or_not_served_is_named() {
    let message = |message: Value| with("messages", json!([message]));
    for (body, param, is_unsupported) in [
        (json!({"messages": []}), "model", false),
        (with("model", json!(7)), "model", false),
        (json!({"model": "chat"}), "messages", false),
        (with("messages", json!("hi")), "messages", false),
        (with("messages", json!([])), "messages", false),
        (message(json!("hi")), "messages.0", false),
        (message(json!({"role": "robot", "content": "a"})), "messages.0.role", false),
        (message(json!({"role": "tool", "content": "a"})), "messages.0.role", true),
        (message(json!({"role": "user"})), "messages.0.content", false),
        (message(json!({"role": "user", "content": [{"type": "image_url"}]})), "messages.0.content.0.type", true),
        (message(json!({"role": "user", "content": [{"type": "text"}]})), "messages.0.content.0.text", false),
        (message(json!({"role": "assistant", "tool_calls": [{}]})), "messages.0.tool_calls", true),
        (with("n", json!(2)), "n", true),
        (with("tools", json!([{}])), "tools", true),
        (with("tool_choice", json!("required")), "tool_choice", true),
        (with("response_format", json!({"type": "json_object"})), "response_format", true),
        (with("logprobs", json!(true)), "logprobs", true),
        (with("logit_bias", json!({"1": 2})), "logit_bias", true),
        (with("presence_penalty", json!(1)), "presence_penalty", true),
        (with("audio", json!({})), "audio", true),
        (with("temperature", json!(3)), "temperature", false),
        (with("temperature", json!("warm")), "temperature", false),
        (with("top_p", json!(2)), "top_p", false),
        (with("max_tokens", json!(0)), "max_tokens", false),
        (with("seed", json!(0.5)), "seed", false),
        (with("stop", json!([1])), "stop", false),
        (with("stop", json!([""])), "stop", false),
        (with("top_k", json!(-2)), "top_k", false),
        (with("seed", json!(u64::MAX)), "seed", false),
        (with("stream", json!("yes")), "stream", false),
        (with("stream_options", json!({"include_usage": true})), "stream_options", false),
    ] {
        match read(&body).unwrap_err() {
            Rejection::BadParameter { param: named, unsupported, detail } => {
                assert_eq!((&*named, unsupported), (param, is_unsupported), "{body}");
                assert!(detail.contains('`') || unsupported, "{detail}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let mut both = with("max_tokens", json!(1));
    both["max_completion_tokens"] = json!(1);
    assert!(matches!(read(&both), Err(Rejection::BadParameter { .. })));
}

#[test]
fn what_is_wrong_does_not_hide_the_rest_from_policies() {
    let body = json!({"model": "chat", "messages": "hi", "temperature": 9, "max_tokens": 7, "n": 2});
    let mut asked = Asked::read(body.to_string().as_bytes()).unwrap();
    assert!(matches!(&asked.refusal, Some(Rejection::BadParameter { param, .. }) if param == "n"), "the first");
    let call: Value = serde_json::from_slice(&asked.call_of("chat")).unwrap();
    assert_eq!(call["params"]["arguments"], json!({"temperature": 9, "maxTokens": 7}));
}

#[test]
fn a_seed_may_have_64_bits_and_an_answer_no_words() {
    let seed = |seed: i64| call(&with("seed", json!(seed)))["params"]["arguments"]["seed"].as_i64().unwrap();
    assert_eq!((seed(-7), seed((1 << 53) - 1)), (-7, (1 << 53) - 1));
    for extreme in [i64::MIN, i64::MAX] {
        assert!(seed(extreme).abs() < 1 << 53);
    }
    for message in [json!({"role": "assistant", "content": null}), json!({"role": "assistant"})] {
        let call = call(&with("messages", json!([message])));
        assert_eq!(call["params"]["arguments"]["messages"][0]["content"], "");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for body in ["", "{", "nothing"] {
        assert!(matches!(Asked::read(body.as_bytes()), Err(Rejection::NotJson { .. })), "{body}");
    }
    for body in ["[]", "7", r#"{"model":"a","model":"b"}"#] {
        assert!(matches!(Asked::read(body.as_bytes()), Err(Rejection::InvalidRequest { .. })), "{body}");
    }
}
