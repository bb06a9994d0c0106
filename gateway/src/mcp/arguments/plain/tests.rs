use portcullis_policies::parse_arguments;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c\"", "d"];

fn schema() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(&["string", "boolean", "null", "integer", "number", "array", "object"][..]);
    let rules = prop_oneof![
        4 => kind.clone().prop_map(|kind| json!({"type": kind, "title": "T"})),
        2 => prop::collection::hash_set(kind, 1..3).prop_map(|kinds| json!({"type": kinds})),
        1 => prop::sample::select(vec![
            json!({}), json!(true), json!(false), json!({"enum": ["x", 1]}), json!({"type": "string", "minLength": 2}),
            json!({"x-any": 1, "default": []}), json!({"$ref": "#/$defs/d"}), json!({"not": {"type": "null"}}),
        ]),
    ];
    let properties = prop::collection::hash_map(prop::sample::select(&NAMES[..3]), rules, 0..4);
    let more = prop::sample::select(vec![
        json!({}),
        json!({"additionalProperties": false}),
        json!({"additionalProperties": {"type": "string"}, "$schema": "http://json-schema.org/draft-07/schema#"}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
        json!({"minProperties": 2}),
        json!({"propertyNames": {"maxLength": 0}}),
        json!({"patternProperties": {"a": {"type": "null"}}}),
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"description": "D", "$defs": {"d": {"type": "string"}}}),
        json!({"type": ["object", "null"]}),
    ]);
    let required = prop::collection::hash_set(prop::sample::select(&NAMES[..]), 0..3);
    (properties, required, more).prop_map(|(properties, required, more)| {
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        schema
    })
}

/// Arguments as text, names given twice included.
fn arguments() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&["\"a\"", "\"b\"", "\"c\\\"\"", "\"\\u0061\"", "\"d\""][..]);
    let value = prop::sample::select(
        &[
            "\"x\"",
            "\"\\n\"",
            "\"\\ud800\"",
            "\"\"",
            "true",
            "false",
            "null",
            "0",
            "-0",
            "-0.0",
            "7",
            "-12",
            "1.0",
            "1.5",
            "1e2",
            "1e999",
            "12345678901234567890",
            "123456789012345",
            "[]",
            "[1]",
            "{}",
            "{\"a\":1,\"a\":2}",
        ][..],
    );
    prop::collection::vec((name, value), 0..4).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{name} : {value}")).collect();
        format!("{{{}}}", members.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_surely_fits_does_fit(schema in schema(), arguments in arguments()) {
        let Ok(validator) = jsonschema::options().build(&schema) else { return Ok(()) };
        if PlainSchema::read(&schema).is_some_and(|plain| plain.surely_takes(&arguments)) {
            let tree = parse_arguments(arguments.as_bytes());
            prop_assert!(tree.is_ok(), "{arguments} cannot be judged");
            prop_assert!(validator.is_valid(&tree.unwrap()), "{arguments} does not fit {schema}");
        }
    }
}

#[test]
fn common_arguments_are_told_without_the_validator() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "title": "Arguments",
        "properties": {
            "query": {"type": "string", "description": "What to look for"},
            "limit": {"type": "integer", "default": 10, "title": "Limit"},
            "ratio": {"type": ["number", "null"]},
            "exact": {"type": "boolean"},
            "order": {"enum": ["up", "down"]},
        },
        "required": ["query"],
        "additionalProperties": false,
    });
    let plain = PlainSchema::read(&schema).unwrap();
    for arguments in [
        r#"{"query":"x"}"#,
        r#" { "query" : "a \"b\" \u00e9\n", "limit" : -3 } "#,
        r#"{"exact":true,"ratio":0.25,"query":"","limit":0}"#,
        r#"{"query":"x","ratio":null}"#,
        r#"{"query":"x","ratio":7}"#,
    ] {
        assert!(plain.surely_takes(arguments), "{arguments}");
    }
    for arguments in [
        "{}",
        "[]",
        "",
        r#"{"query":"x"}}"#,
        r#"{"query":"x","query":"y"}"#,
        r#"{"query":"x","qu\u0065ry":"y"}"#,
        r#"{"query":"\ud800"}"#,
        r#"{"query":7}"#,
        r#"{"query":"x","limit":1.5}"#,
        r#"{"query":"x","limit":1.0}"#,
        r#"{"query":"x","order":"up"}"#,
        r#"{"query":"x","other":1}"#,
    ] {
        assert!(!plain.surely_takes(arguments), "{arguments}");
    }
}

#[test]
fn a_schema_with_other_rules_for_the_whole_is_left_to_the_validator() {
    for schema in [
        json!({"allOf": []}),
        json!({"minProperties": 1}),
        json!({"$ref": "#/$defs/a"}),
        json!({"type": "string"}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
        json!({"required": ["a"]}),
        json!(true),
    ] {
        assert!(PlainSchema::read(&schema).is_none(), "{schema}");
    }
}
