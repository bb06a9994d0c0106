//! The prompts. One of them asks the client before it is complete.

use rmcp::RoleServer;
use rmcp::model::{
    ContentBlock, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult, Prompt, PromptArgument,
    PromptMessage, ResourceContents, Role,
};
use rmcp::service::RequestContext;
use serde_json::Value;

use crate::client::{Client, Memory, Stop};
use crate::resources::PNG;
use crate::server::Server;
use crate::tools::questions::form;

/// What is listed.
pub(crate) fn list() -> Vec<Prompt> {
    let prompt = |name: &str, what: &str, arguments: &[&str]| {
        let argument = |name: &&str| PromptArgument::new(*name).with_description("Any text").with_required(true);
        let arguments = (!arguments.is_empty()).then(|| arguments.iter().map(argument).collect());
        Prompt::new(name, Some(what), arguments)
    };
    vec![
        prompt("test_simple_prompt", "Takes nothing", &[]),
        prompt("test_prompt_with_arguments", "Repeats its arguments", &["arg1", "arg2"]),
        prompt("test_prompt_with_embedded_resource", "Brings a resource along", &["resourceUri"]),
        prompt("test_prompt_with_image", "Brings a picture along", &[]),
        prompt("test_input_required_result_prompt", "Asks for its context first", &[]),
    ]
}

/// The prompt with its arguments filled in.
pub(crate) async fn get(
    server: &Server,
    request: GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let argument = |name: &str| {
        let value = request.arguments.as_ref().and_then(|all| all.get(name)).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| ErrorData::invalid_params(format!("the argument {name} is missing"), None))
    };
    let says = |text: &str| vec![message(ContentBlock::text(text))];
    let messages = match request.name.as_str() {
        "test_simple_prompt" => says("This is a simple prompt for testing."),
        "test_prompt_with_arguments" => {
            says(&format!("Prompt with arguments: arg1='{}', arg2='{}'", argument("arg1")?, argument("arg2")?))
        }
        "test_prompt_with_embedded_resource" => {
            let resource = ResourceContents::text("Embedded resource content for testing.", argument("resourceUri")?);
            let resource = message(ContentBlock::resource(resource.with_mime_type("text/plain")));
            vec![resource, message(ContentBlock::text("Please process the embedded resource above."))]
        }
        "test_prompt_with_image" => {
            let picture = message(ContentBlock::image(PNG, "image/png"));
            vec![picture, message(ContentBlock::text("Please analyze the image above."))]
        }
        "test_input_required_result_prompt" => {
            let (responses, state) = (request.input_responses.as_ref(), request.request_state.as_deref());
            let client = Client::of(server, context, responses, state, Memory::None)?;
            let question = form("What context should the prompt use?", "context", "string");
            match client.ask_one("user_context", question).await {
                Ok(content) => says(&format!("Prompt with the context: {}", content["context"])),
                Err(Stop::Incomplete(result)) => return Ok((*result).into()),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Declined(why)) => return Err(ErrorData::internal_error(why, None)),
                Err(Stop::Cancelled) => return Err(ErrorData::internal_error("cancelled", None)),
            }
        }
        other => return Err(ErrorData::invalid_params(format!("no such prompt: {other}"), None)),
    };
    Ok(GetPromptResult::new(messages).into())
}

fn message(content: ContentBlock) -> PromptMessage {
    PromptMessage::new(Role::User, content)
}
