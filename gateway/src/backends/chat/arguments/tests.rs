use serde_json::json;

use super::*;
use crate::backends::chat::definition;

const MESSAGES_ONLY: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;

/// Good messages, and this beside them.
fn with(name: &str, value: Value) -> Value {
    let mut arguments: Value = serde_json::from_str(MESSAGES_ONLY).unwrap();
    arguments[name] = value;
    arguments
}

#[test]
fn every_argument_arrives() {
    let request = read(
        &json!({
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "naïve\u{0} 👋"},
                {"role": "assistant", "content": ""},
            ],
            "maxTokens": 7.0, "temperature": 0.5, "topP": 1, "topK": 40, "minP": 0.1, "repetitionPenalty": 1.1,
            "seed": -1, "stop": ["a", "\n\n"],
        })
        .to_string(),
    )
    .unwrap();
    assert_eq!(request.messages[0], Message { role: Role::System, content: "be brief".to_owned() });
    assert_eq!(request.messages[1].content, "naïve\u{0} 👋");
    assert_eq!(request.messages[2].role, Role::Assistant);
    assert_eq!(request.max_tokens, Some(7));
    assert_eq!(
        request.sampling,
        Sampling {
            temperature: Some(0.5),
            top_k: Some(40),
            top_p: Some(1.0),
            min_p: Some(0.1),
            repetition_penalty: Some(1.1),
            seed: Some(u64::MAX),
        }
    );
    assert_eq!(request.stop, ["a", "\n\n"]);
}

#[test]
fn messages_are_enough_and_words_have_their_other_spelling() {
    let request = read(MESSAGES_ONLY).unwrap();
    assert_eq!((request.max_tokens, request.stop.len()), (None, 0));
    assert_eq!(request.sampling, Sampling::default());
    assert_eq!(read(&with("max_tokens", json!(5)).to_string()).unwrap().max_tokens, Some(5));
    assert_eq!(read(&with("stop", json!("x")).to_string()).unwrap().stop, ["x"]);
}

#[test]
fn what_is_wrong_is_named_and_its_value_is_not_shown() {
    let message = |message: Value| json!({"messages": [{"role": "user", "content": "a"}, message]});
    let long = "s3cret".repeat(50);
    for (arguments, named) in [
        (json!({}), "argument `messages`: is missing"),
        (json!({"messages": []}), "argument `messages`: "),
        (json!({"messages": "s3cret"}), "argument `messages`: "),
        (json!({"messages": vec![json!({"role": "user", "content": "s3cret"}); 1025]}), "argument `messages`: "),
        (message(json!("s3cret")), "argument `messages.1`: "),
        (message(json!({"role": "s3cret", "content": "b"})), "argument `messages.1.role`: "),
        (message(json!({"content": "s3cret"})), "argument `messages.1.role`: "),
        (message(json!({"role": "user"})), "argument `messages.1.content`: "),
        (message(json!({"role": "user", "content": ["s3cret"]})), "argument `messages.1.content`: "),
        (message(json!({"role": "user", "content": "b", "name": "s3cret"})), "argument `messages.1.name`: is unknown"),
        (with("maxTokens", json!(0)), "argument `maxTokens`: "),
        (with("maxTokens", json!(1.5)), "argument `maxTokens`: "),
        (with("max_tokens", json!("s3cret")), "argument `max_tokens`: "),
        (with("temperature", json!(2.1)), "argument `temperature`: must be a number from 0 to 2"),
        (with("temperature", json!(null)), "argument `temperature`: "),
        (with("topP", json!(-0.1)), "argument `topP`: "),
        (with("topK", json!(-1)), "argument `topK`: must be a whole number from 0 to "),
        (with("minP", json!(7)), "argument `minP`: "),
        (with("repetitionPenalty", json!(0)), "argument `repetitionPenalty`: "),
        (with("seed", json!(1e300)), "argument `seed`: "),
        (with("seed", json!(u64::MAX)), "argument `seed`: "),
        (with("stop", json!("")), "argument `stop`: "),
        (with("stop", json!([1])), "argument `stop`: "),
        (with("stop", json!(long)), "argument `stop`: "),
        (with("stop", json!(vec!["s3cret"; 17])), "argument `stop`: "),
        (with("tempreature", json!("s3cret")), "argument `tempreature`: is unknown"),
    ] {
        let error = read(&arguments.to_string()).unwrap_err();
        assert!(error.starts_with(named), "{arguments}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let both = json!({"messages": [{"role": "user", "content": "a"}], "maxTokens": 1, "max_tokens": 1});
    assert!(read(&both.to_string()).unwrap_err().starts_with("argument `max_tokens`: "));
}

#[test]
fn what_is_ambiguous_or_no_object_is_refused() {
    for text in ["[]", "", "{", r#"{"messages":[],"messages":[]}"#, r#"{"seed":1,"s\u0065ed":2}"#] {
        assert!(read(text).is_err(), "{text}");
    }
    let name = format!("`{}\u{0}", "x".repeat(1000));
    let error = read(&with(&name, json!(1)).to_string()).unwrap_err();
    assert!(error.len() < 120 && !error.contains('\u{0}'), "{error}");
}

/// The schema that clients see takes what is taken and refuses what is refused.
#[test]
fn the_schema_says_the_same() {
    let schema = &definition::of("chat")["inputSchema"];
    let validator = jsonschema::validator_for(schema).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let mut values = vec![json!(null), json!("x"), json!(""), json!([]), json!(["x"]), json!({}), json!(true)];
    values.extend([-1.0, 0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 2.1, 3.0, 1e300].map(|number| json!(number)));
    values.extend(
        [-1_i64, 0, 1, 16, 1 << 20, (1 << 20) + 1, (1 << 53) - 1, 1 << 53, i64::MIN].map(|number| json!(number)),
    );
    values.extend([json!("y".repeat(256)), json!("y".repeat(257)), json!(vec!["y"; 16]), json!(vec!["y"; 17])]);
    values.extend([json!([""]), json!([1])]);
    for name in properties.keys().map(String::as_str).chain(["unknown"]) {
        for value in &values {
            let arguments = with(name, value.clone());
            assert_eq!(read(&arguments.to_string()).is_ok(), validator.is_valid(&arguments), "{arguments}");
        }
    }
    for message in [
        json!({"role": "user", "content": "a"}),
        json!({"role": "tool", "content": "a"}),
        json!({"role": "user"}),
        json!({"role": "user", "content": "a", "name": "b"}),
        json!("a"),
    ] {
        let arguments = json!({"messages": [message]});
        assert_eq!(read(&arguments.to_string()).is_ok(), validator.is_valid(&arguments), "{arguments}");
    }
}
