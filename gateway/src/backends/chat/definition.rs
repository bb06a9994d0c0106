//! The tool's definition, as clients see it.

use serde_json::{Value, json};

use crate::backends::chat_bounds::{
    MAX_TOKENS, MESSAGES, MIN_P, REPETITION_PENALTY, Real, SEED, STOP_CHARS, STOPS, TEMPERATURE, TOP_K, TOP_P, Whole,
};

/// The definition of the tool of this name.
pub(super) fn of(name: &str) -> Value {
    json!({
        "name": name,
        "title": "Chat",
        "description": "Continues a conversation with a language model that runs inside the gateway. \
                        Nothing leaves it. With a progress token the text arrives as it is made.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "messages": messages(),
                "maxTokens": whole("The most tokens to make. Without it, as many as the context has room for.", MAX_TOKENS),
                "max_tokens": whole("Another word for maxTokens.", MAX_TOKENS),
                "temperature": real("How freely the next token is drawn. 0 always takes the likeliest.", TEMPERATURE),
                "topP": real("Draws from the likeliest tokens that together have this probability.", TOP_P),
                "topK": whole("Draws from so many of the likeliest tokens; 0 from all.", TOP_K),
                "minP": real("Draws from tokens at least this fraction as likely as the likeliest.", MIN_P),
                "repetitionPenalty": real("Above 1, tokens seen before become less likely.", REPETITION_PENALTY),
                "seed": whole("The same seed makes the same text on the same device.", SEED),
                "stop": stop(),
            },
            "required": ["messages"],
            "additionalProperties": false,
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "model": {"type": "string", "description": "The model that answered."},
                "text": {"type": "string", "description": "The answer."},
                "finishReason": {
                    "type": "string", "enum": ["stop", "length"],
                    "description": "Whether the model ended, or was ended by maxTokens or its context.",
                },
                "usage": {
                    "type": "object",
                    "properties": {
                        "promptTokens": {"type": "integer", "minimum": 0},
                        "completionTokens": {"type": "integer", "minimum": 0},
                    },
                    "required": ["promptTokens", "completionTokens"],
                },
            },
            "required": ["model", "text", "finishReason", "usage"],
        },
        "annotations": {
            "readOnlyHint": true, "destructiveHint": false, "idempotentHint": false, "openWorldHint": false,
        },
    })
}

fn messages() -> Value {
    json!({
        "type": "array",
        "description": "The conversation so far, oldest first.",
        "minItems": MESSAGES.0,
        "maxItems": MESSAGES.1,
        "items": {
            "type": "object",
            "properties": {
                "role": {"type": "string", "enum": ["system", "user", "assistant"]},
                "content": {"type": "string"},
            },
            "required": ["role", "content"],
            "additionalProperties": false,
        },
    })
}

fn stop() -> Value {
    let text = json!({"type": "string", "minLength": STOP_CHARS.0, "maxLength": STOP_CHARS.1});
    json!({
        "description": "A text that ends the answer and is no part of it, or several.",
        "anyOf": [text, {"type": "array", "items": text, "maxItems": STOPS.1}],
    })
}

fn whole(description: &str, (least, most): Whole) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
}

fn real(description: &str, (least, most): Real) -> Value {
    json!({"type": "number", "minimum": least, "maximum": most, "description": description})
}
