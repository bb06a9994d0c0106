//! Tools whose work may become a task (the extension of 2026-07-28). With a
//! client that knows no tasks they work while the call waits, if they can.

use std::time::Duration;

use rmcp::model::{
    CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult, ErrorData, JsonObject,
};
use rmcp::task_manager::{TaskExit, TaskOptions};
use serde_json::Value;

use super::questions::form;
use super::says;
use crate::call::{Call, work};
use crate::client::{Client, Memory, Stop};

pub(super) const TOOLS: &[(&str, &str)] = &[
    ("greet", "Greets at once"),
    ("slow_compute", "Works for some seconds"),
    ("failing_job", "Fails after a while; as a task only"),
    ("protocol_error_job", "Comes to an error of the protocol"),
    ("confirm_delete", "Asks for a confirmation; as a task only"),
    ("multi_input", "Asks two things at once; as a task only"),
    ("test_tool_with_task", "Asks for a name first, then works; as a task only"),
];

/// The most seconds that a caller can make a task work.
const LONGEST_TASK: f64 = 120.0;

/// The same where the call waits: the suite asks for a minute, and would.
const LONGEST_CALL: f64 = 1.0;

const A_WHILE: Duration = Duration::from_millis(500);

pub(super) async fn call(call: &Call<'_>) -> Result<CallToolResponse, Stop> {
    let (name, mut arguments) = (call.name().to_owned(), call.arguments());
    let client = call.client(Memory::None)?;
    let knows_tasks = call.capabilities().supports_tasks();
    if !matches!(client, Client::Session(_)) && is_task_only(&name) && !knows_tasks {
        let required = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(required).into());
    }
    if name == "test_tool_with_task" {
        let answer = client.ask_one("user_name", form("What is your name?", "name", "string")).await?;
        arguments.insert("name".to_owned(), answer["name"].clone());
    }
    if name == "greet" || !knows_tasks {
        return run(&name, &arguments, &client).await.map(Into::into);
    }
    let options = TaskOptions::default().with_poll_interval_ms(200);
    let task = call.server.shared.tasks.spawn(options, |context| {
        Box::pin(async move {
            let client = Client::Task(context.clone());
            tokio::select! {
                result = run(&name, &arguments, &client) => result.map_err(exit),
                () = context.cancelled() => Err(TaskExit::Cancelled),
            }
        })
    });
    Ok(CreateTaskResult::new(task).into())
}

/// Whether a client of 2026-07-28 has to know tasks for this.
fn is_task_only(tool: &str) -> bool {
    matches!(tool, "failing_job" | "confirm_delete" | "multi_input" | "test_tool_with_task")
}

/// The work itself, in a task or in the call.
async fn run(name: &str, arguments: &JsonObject, client: &Client) -> Result<CallToolResult, Stop> {
    let text = |argument: &str| arguments.get(argument).and_then(Value::as_str).unwrap_or("nobody").to_owned();
    Ok(match name {
        "slow_compute" => {
            let longest = if matches!(client, Client::Task(_)) { LONGEST_TASK } else { LONGEST_CALL };
            let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or(1.0).clamp(0.0, longest);
            work(Duration::from_secs_f64(seconds)).await;
            says(format!("computed for {seconds} s"))
        }
        "failing_job" => {
            work(A_WHILE).await;
            CallToolResult::error(vec![ContentBlock::text("This job intentionally fails")])
        }
        "protocol_error_job" => {
            work(A_WHILE).await;
            return Err(ErrorData::internal_error("this job intentionally comes to an error", None).into());
        }
        "confirm_delete" => {
            let question = form(&format!("Delete {}?", text("filename")), "confirm", "boolean");
            says(format!("confirmed: {}", client.ask_one("confirm", question).await?["confirm"]))
        }
        "multi_input" => {
            let question = |which: &str| form(&format!("Which {which}?"), "name", "string");
            let answers = client.ask(&[("first", question("first")), ("second", question("second"))]).await?;
            says(format!("{} answers", answers.len()))
        }
        _ => says(format!("Hello, {}!", text("name"))),
    })
}

fn exit(stop: Stop) -> TaskExit {
    match stop {
        Stop::Refused(error) => TaskExit::Error(error),
        Stop::Declined(why) => TaskExit::Error(ErrorData::internal_error(why, None)),
        Stop::Incomplete(_) | Stop::Cancelled => TaskExit::Cancelled,
    }
}
