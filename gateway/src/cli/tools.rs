//! `portcullis tools`: a small MCP client, to look at an endpoint as clients do.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use http::Uri;
use serde_json::{Map, Value, json};

use self::client::{ClientError, McpClient};
use super::explain::assignment;
use super::output::{Answer, Exit, Output};
use crate::secret::Secret;

mod client;
mod sse;

/// Most pages of a list that are asked for.
const MAX_PAGES: usize = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum ToolsCommand {
    /// Lists the tools of an endpoint.
    List(EndpointArgs),
    /// Calls a tool.
    Call(CallArgs),
}

/// Which endpoint is called, and how.
#[derive(Debug, Args)]
pub(super) struct EndpointArgs {
    /// The MCP endpoint.
    #[arg(long, default_value = "http://127.0.0.1:8080/mcp", value_parser = endpoint)]
    url: Uri,
    /// The API key or access token.
    #[arg(long, env = "PORTCULLIS_KEY", hide_env_values = true, value_parser = secret)]
    key: Option<Secret<String>>,
    /// How many seconds all of it may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// The tool's name.
    name: String,
    /// The arguments, a JSON object.
    #[arg(long, value_name = "JSON", conflicts_with = "arg", value_parser = object)]
    args: Option<Map<String, Value>>,
    /// One argument. What is not JSON is text.
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    arg: Vec<(String, Value)>,
    #[command(flatten)]
    endpoint: EndpointArgs,
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.authority().is_some());
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| "write http://HOST:PORT/mcp or https://HOST/mcp".to_owned())
}

pub(super) fn secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}

/// Talks to the endpoint.
pub(super) fn run(command: ToolsCommand, output: Output) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime for network input and output")?;
    let endpoint = match &command {
        ToolsCommand::List(endpoint) => endpoint,
        ToolsCommand::Call(call) => &call.endpoint,
    };
    let limit = Duration::from_secs(endpoint.timeout);
    let mut client = McpClient::new(endpoint.url.clone(), endpoint.key.clone());
    let answer = runtime.block_on(async {
        let work = async {
            client.initialize().await?;
            let answer = match command {
                ToolsCommand::List(_) => list(&mut client, output).await,
                ToolsCommand::Call(call) => call_tool(&mut client, call, output).await,
            };
            client.close().await;
            answer
        };
        tokio::time::timeout(limit, work).await.unwrap_or(Err(ClientError::TimedOut(limit)))
    });
    Ok(answer.unwrap_or_else(|error| refused(error, output)))
}

fn refused(error: ClientError, output: Output) -> Answer {
    match (output, error) {
        (Output::Json, ClientError::Refused { code, message, data }) => {
            Answer::json(&json!({"error": {"code": code, "message": message, "data": data}}), Exit::Failed)
        }
        (output, error) => {
            let message = printable(&format!("{:#}", anyhow::Error::new(error)));
            match output {
                Output::Json => Answer::json(&json!({"error": {"code": null, "message": message}}), Exit::Failed),
                Output::Text => Answer::none(message, Exit::Failed),
            }
        }
    }
}

async fn list(client: &mut McpClient, output: Output) -> Result<Answer, ClientError> {
    let mut tools = Vec::new();
    let mut params = json!({});
    for _ in 0..MAX_PAGES {
        let mut page = client.request("tools/list", &params).await?;
        let Some(Value::Array(found)) = page.get_mut("tools").map(Value::take) else {
            return Err(ClientError::Garbage("a list of tools without `tools`"));
        };
        tools.extend(found);
        match page.get_mut("nextCursor").map(Value::take) {
            Some(Value::String(cursor)) => params = json!({"cursor": cursor}),
            _ => break,
        }
    }
    Ok(match output {
        Output::Json => Answer::json(&json!({"tools": tools}), Exit::Ok),
        Output::Text if tools.is_empty() => Answer::none("no tools", Exit::Ok),
        Output::Text => Answer::ok(tools.iter().map(tool_line).collect::<String>()),
    })
}

/// The tool's name and the first line of what it says of itself.
fn tool_line(tool: &Value) -> String {
    let member = |key: &str| tool.get(key).and_then(Value::as_str).unwrap_or_default();
    let description = member("description").lines().next().unwrap_or_default();
    let line = printable(&format!("{:<32} {description}", member("name")));
    format!("{}\n", line.trim_end())
}

/// What comes from afar shall not move the cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

async fn call_tool(client: &mut McpClient, call: CallArgs, output: Output) -> Result<Answer, ClientError> {
    let arguments = call.args.unwrap_or_else(|| call.arg.into_iter().collect());
    let result = client.request("tools/call", &json!({"name": call.name, "arguments": arguments})).await?;
    let failed = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
    let exit = if failed { Exit::Failed } else { Exit::Ok };
    Ok(match output {
        Output::Json => Answer::json(&result, exit),
        Output::Text => Answer::new(content(&result), exit),
    })
}

/// The text of a result; what is not text, as JSON.
fn content(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = blocks
        .iter()
        .map(|block| match block.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => block.to_string(),
        })
        .collect();
    match (lines.is_empty(), result.get("structuredContent")) {
        (true, Some(structured)) => structured.to_string(),
        _ => lines.join("\n"),
    }
}

#[cfg(test)]
mod tests;
