//! Tools that ask the client something before they answer.

use rmcp::model::CallToolResult;
use serde_json::{Value, json};

use super::says;
use crate::call::Call;
use crate::client::{Memory, Stop};

pub(super) const TOOLS: &[(&str, &str)] = &[
    ("test_sampling", "Has the client's model answer a prompt"),
    ("test_elicitation", "Asks for a name and an address"),
    ("test_elicitation_sep1034_defaults", "Asks with a default for every type"),
    ("test_elicitation_sep1330_enums", "Asks with every kind of choice"),
    ("test_missing_capability", "Needs a client with a model"),
    ("test_streaming_elicitation", "Asks for a value"),
    ("test_input_required_result_elicitation", "Asks for a name"),
    ("test_input_required_result_sampling", "Asks the client's model"),
    ("test_input_required_result_list_roots", "Asks for the roots"),
    ("test_input_required_result_request_state", "Asks for a confirmation and remembers"),
    ("test_input_required_result_multiple_inputs", "Asks three things at once"),
    ("test_input_required_result_multi_round", "Asks one thing after another"),
    ("test_input_required_result_tampered_state", "Asks for a confirmation and trusts nobody"),
    ("test_input_required_result_capabilities", "Asks what the client declared that it answers"),
];

pub(super) async fn call(call: &Call<'_>) -> Result<CallToolResult, Stop> {
    let client = call.client(memory(call.name()))?;
    let name = || form("What is your name?", "name", "string");
    Ok(match call.name() {
        "test_sampling" => {
            let answer = client.ask_one("completion", sampling(&call.text("prompt", "Hello"))).await?;
            says(format!("LLM response: {answer}"))
        }
        "test_elicitation" => {
            let fields = json!({
                "username": {"type": "string", "description": "User's response"},
                "email": {"type": "string", "description": "User's email address"},
            });
            let question = elicitation(&call.text("message", "Who are you?"), &fields, &["username", "email"]);
            says(format!("User response: {}", client.ask_one("user", question).await?))
        }
        "test_elicitation_sep1034_defaults" => {
            let question = elicitation("Is this right?", &defaults(), &[]);
            says(format!("Elicitation completed: {}", client.ask_one("defaults", question).await?))
        }
        "test_elicitation_sep1330_enums" => {
            let question = elicitation("Which of these?", &choices(), &[]);
            says(format!("Elicitation completed: {}", client.ask_one("choices", question).await?))
        }
        "test_streaming_elicitation" => {
            says(client.ask_one("value", form("Which value?", "value", "string")).await?.to_string())
        }
        "test_input_required_result_elicitation" => {
            says(format!("Hello, {}!", client.ask_one("user_name", name()).await?["name"]))
        }
        "test_missing_capability" | "test_input_required_result_sampling" => {
            let question = sampling("What is the capital of France?");
            says(format!("Sampling response: {}", client.ask_one("capital_question", question).await?))
        }
        "test_input_required_result_list_roots" => {
            let answers = client.ask(&[("client_roots", roots())]).await?;
            says(format!("Client roots: {}", json!(answers)))
        }
        "test_input_required_result_multiple_inputs" => {
            let greeting = sampling("Generate a greeting");
            let answers =
                client.ask(&[("user_name", name()), ("greeting", greeting), ("client_roots", roots())]).await?;
            says(format!("All inputs received: {}", json!(answers)))
        }
        "test_input_required_result_multi_round" => {
            let name = client.ask_one("step1", name()).await?;
            let color = client.ask_one("step2", form("What is your favorite color?", "color", "string")).await?;
            says(format!("{} likes {}", name["name"], color["color"]))
        }
        "test_input_required_result_capabilities" => {
            let declared = call.capabilities();
            let questions = [
                declared.elicitation.is_some().then(|| ("user_name", name())),
                declared.sampling.is_some().then(|| ("greeting", sampling("Generate a greeting"))),
                declared.roots.is_some().then(|| ("client_roots", roots())),
            ];
            let questions: Vec<_> = questions.into_iter().flatten().collect();
            says(format!("Asked {}: {}", questions.len(), json!(client.ask(&questions).await?)))
        }
        _ => {
            client.ask_one("confirm", form("Please confirm", "ok", "boolean")).await?;
            says("Confirmed: state-ok")
        }
    })
}

fn memory(tool: &str) -> Memory {
    match tool {
        "test_input_required_result_request_state"
        | "test_input_required_result_tampered_state"
        | "test_input_required_result_multiple_inputs"
        | "test_input_required_result_multi_round" => Memory::Sealed,
        _ => Memory::None,
    }
}

/// Asks for one field of this type.
pub(crate) fn form(message: &str, field: &str, of: &str) -> Value {
    elicitation(message, &json!({field: {"type": of}}), &[field])
}

fn elicitation(message: &str, fields: &Value, required: &[&str]) -> Value {
    let schema = json!({"type": "object", "properties": fields, "required": required});
    json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}})
}

fn sampling(prompt: &str) -> Value {
    let messages = json!([{"role": "user", "content": {"type": "text", "text": prompt}}]);
    json!({"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}})
}

fn roots() -> Value {
    json!({"method": "roots/list"})
}

fn defaults() -> Value {
    json!({
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true},
    })
}

fn choices() -> Value {
    let titled = |word: &str| {
        let choice = |n, ordinal| json!({"const": format!("value{n}"), "title": format!("{ordinal} {word}")});
        json!([choice(1, "First"), choice(2, "Second"), choice(3, "Third")])
    };
    let plain = json!(["option1", "option2", "option3"]);
    let names = json!(["Option One", "Option Two", "Option Three"]);
    json!({
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": names},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    })
}
