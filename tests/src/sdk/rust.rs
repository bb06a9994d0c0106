//! rmcp's client, which performs a script as the clients of other languages do.
//! It runs in the test's own process.
#![expect(deprecated, reason = "the handshake revisions have what the newest one deprecates")]

mod answering;

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::{HeaderName, HeaderValue};
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ProtocolVersion, ServerNotification};
use rmcp::service::{PeerRequestOptions, RequestHandle, RunningService, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Value, json};
use tokio::process::Command;

use self::answering::Answering;
use crate::patience::PATIENCE;

/// How long a whole script may take.
const LONGEST: Duration = Duration::from_secs(6 * PATIENCE.as_secs());

/// A client that is connected.
type Client = RunningService<RoleClient, Arc<Answering>>;

/// Performs a script, whose shape is in `peers/python/client_2.py`.
///
/// # Errors
///
/// Why the client gives up.
///
/// # Panics
///
/// When the script is not one.
pub(super) fn perform(script: &Value, handshake: bool) -> Result<Value, String> {
    // One thread, so that a notification is taken in before the response behind it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let driven = async { tokio::time::timeout(LONGEST, drive(script, handshake)).await };
    runtime.block_on(driven).unwrap_or_else(|_| Err(format!("no end after {LONGEST:?}")))
}

async fn drive(script: &Value, handshake: bool) -> Result<Value, String> {
    let answering = Arc::new(Answering::new(&script["answers"]));
    let client = connect(script, handshake, Arc::clone(&answering)).await?;
    let tools = client.list_all_tools().await.map_err(|error| error.to_string())?;
    let names: Vec<_> = tools.into_iter().map(|tool| tool.name).collect();
    let wanted = script["calls"].as_array().expect("a list of calls");
    let calls: Vec<Value> = if script["parallel"] == true {
        let all = wanted.iter().map(|wanted| outcome(&client, &answering, wanted, true));
        futures_util::future::try_join_all(all).await?
    } else {
        let mut calls = Vec::new();
        for wanted in wanted {
            calls.push(outcome(&client, &answering, wanted, false).await?);
        }
        calls
    };
    let server = client.peer_info().ok_or("nothing was agreed on")?;
    let report = json!({
        "protocolVersion": server.protocol_version, "instructions": server.instructions,
        "tools": names, "calls": calls,
    });
    client.cancel().await.map_err(|error| error.to_string())?;
    Ok(report)
}

async fn connect(script: &Value, handshake: bool, answering: Arc<Answering>) -> Result<Client, String> {
    let lifecycle = if handshake {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None }
    };
    let text = |value: &Value| value.as_str().expect("a text of the script").to_owned();
    let connected = if script["transport"] == "stdio" {
        let process = &script["process"];
        let mut command = Command::new(text(&process["command"]));
        command.args(process["args"].as_array().into_iter().flatten().map(text));
        command.envs(process["env"].as_object().into_iter().flatten().map(|(name, value)| (name, text(value))));
        let started = TokioChildProcess::builder(command).stderr(Stdio::null()).spawn();
        let (transport, _) = started.map_err(|error| error.to_string())?;
        answering.serve_with_lifecycle(transport, lifecycle).await
    } else {
        let headers = script["headers"].as_object().into_iter().flatten();
        let headers: HashMap<HeaderName, HeaderValue> = headers
            .map(|(name, value)| (name.parse().expect("a name"), text(value).parse().expect("a value")))
            .collect();
        let config = StreamableHttpClientTransportConfig::with_uri(text(&script["url"])).custom_headers(headers);
        answering.serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), lifecycle).await
    };
    connected.map_err(|error| error.to_string())
}

/// Does what a call of the script wants, and says what came of it.
async fn outcome(client: &Client, answering: &Answering, wanted: &Value, parallel: bool) -> Result<Value, String> {
    while wanted["after"].as_str().is_some_and(|file| !Path::new(file).exists()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let is_tool = wanted["op"].as_str().unwrap_or("tool") == "tool";
    let came = if wanted["cancel"] == true {
        return cancelled(client, answering, wanted).await.map_err(|error| error.to_string());
    } else if is_tool && parallel {
        beside_others(client, answering, wanted).await
    } else {
        answering.forget_progress();
        operate(client, answering, wanted).await.map(|result| (result, answering.progress()))
    };
    match came {
        Ok((result, progress)) => Ok(json!({"result": result, "progress": progress})),
        Err(ServiceError::McpError(error)) => Ok(json!({"error": error})),
        Err(other) => Err(other.to_string()),
    }
}

/// One thing after another, with rounds of questions where the server has any.
async fn operate(client: &Client, answering: &Answering, wanted: &Value) -> Result<Value, ServiceError> {
    /// The parameters that these members make.
    macro_rules! params {
        ($($member:literal),*) => {
            serde_json::from_value(json!({$($member: wanted[$member].clone()),*})).expect("a call of the script")
        };
    }
    Ok(match wanted["op"].as_str().unwrap_or("tool") {
        "tool" => json!(client.call_tool(tool(wanted)).await?),
        "prompts" => json!(client.list_prompts(None).await?),
        "prompt" => json!(client.get_prompt(params!("name", "arguments")).await?),
        "resources" => json!(client.list_resources(None).await?),
        "templates" => json!(client.list_resource_templates(None).await?),
        "read" => json!(client.read_resource(params!("uri")).await?),
        "complete" => json!(client.complete(params!("ref", "argument")).await?),
        "subscribe" => json!(client.subscribe(params!("uri")).await?),
        "unsubscribe" => json!(client.unsubscribe(params!("uri")).await?),
        "level" => json!(client.set_level(params!("level")).await?),
        "listen" => listen(client, wanted).await?,
        "told" => json!({"told": answering.hears(wanted["method"].as_str().unwrap_or_default()).await}),
        other => panic!("{other} is nothing this client does"),
    })
}

/// Opens a stream, makes a call, and says what the stream brought first.
async fn listen(client: &Client, wanted: &Value) -> Result<Value, ServiceError> {
    let filter = json!({"toolsListChanged": wanted["tools"], "resourceSubscriptions": wanted["uris"]});
    let mut stream = client.listen(serde_json::from_value(filter).expect("a filter of the script")).await?;
    client.call_tool(tool(wanted)).await?;
    let heard = match stream.next().await? {
        Some(ServerNotification::ResourceUpdatedNotification(updated)) => updated.params.uri,
        Some(ServerNotification::ToolListChangedNotification(_)) => "tools".to_owned(),
        other => panic!("{other:?} is not what was asked for"),
    };
    let honoured = json!(stream.acknowledged());
    stream.cancel().await?;
    Ok(json!({"honoured": honoured, "heard": heard}))
}

/// The same of a tool while others run: its own progress is told from theirs.
async fn beside_others(
    client: &Client,
    answering: &Answering,
    wanted: &Value,
) -> Result<(Value, Vec<f64>), ServiceError> {
    let sent = send(client, wanted).await?;
    let token = sent.progress_token.clone();
    let result = sent.await_response().await?;
    Ok((json!(result), answering.progress_of(&token)))
}

/// Calls a tool and cancels the call as soon as it has reported progress.
async fn cancelled(client: &Client, answering: &Answering, wanted: &Value) -> Result<Value, ServiceError> {
    let sent = send(client, wanted).await?;
    let begun = answering.until(|heard| heard.has_progress(&sent.progress_token)).await;
    sent.cancel(Some("as the script wants".to_owned())).await?;
    Ok(json!({"cancelled": begun}))
}

async fn send(client: &Client, wanted: &Value) -> Result<RequestHandle<RoleClient>, ServiceError> {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(tool(wanted)));
    client.peer().send_cancellable_request(request, PeerRequestOptions::no_options()).await
}

fn tool(wanted: &Value) -> CallToolRequestParams {
    let arguments = wanted.get("arguments").cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(json!({"name": wanted["name"], "arguments": arguments})).expect("a call of the script")
}
