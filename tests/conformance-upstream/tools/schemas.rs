//! What the tools accept.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// The input schema of a tool; most take nothing.
pub(super) fn of(tool: &str) -> JsonObject {
    let schema = match tool {
        "test_sampling" => required("prompt"),
        "test_elicitation" => required("message"),
        "test_x_mcp_header" => json!({
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "limit": {"type": "integer", "x-mcp-header": "Limit"},
            },
            "required": ["region"],
        }),
        "json_schema_2020_12_tool" => json_schema_2020_12(),
        "greet" => properties(&json!({"name": {"type": "string"}})),
        "slow_compute" => properties(&json!({"seconds": {"type": "number"}, "label": {"type": "string"}})),
        "confirm_delete" => properties(&json!({"filename": {"type": "string"}})),
        _ => properties(&json!({})),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    }
}

fn properties(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn required(name: &str) -> Value {
    json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]})
}

/// Every kind of keyword that a server on the way might drop.
fn json_schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}
