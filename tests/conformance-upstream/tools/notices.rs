//! Tools that send something beside their answer.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{CallToolResult, LoggingLevel};

use super::says;
use crate::call::{Call, work};
use crate::changes::Change;
use crate::resources::WATCHED;

const STEP: Duration = Duration::from_millis(50);

pub(super) const TOOLS: &[(&str, &str)] = &[
    ("test_tool_with_logging", "Logs three times"),
    ("test_logging_tool", "Logs once"),
    ("test_tool_with_progress", "Reports progress three times"),
    ("test_reconnection", "Hangs up before it answers, where the client can come back for the answer"),
    ("test_trigger_tool_change", "Announces that the tools changed"),
    ("test_trigger_prompt_change", "Announces that the prompts changed"),
    ("test_trigger_resource_list_change", "Announces that the resources changed"),
    ("test_trigger_resource_change", "Announces that the watched resource changed"),
];

pub(super) async fn call(call: &Call<'_>) -> CallToolResult {
    match call.name() {
        "test_tool_with_logging" => {
            call.log(LoggingLevel::Info, "Tool execution started").await;
            work(STEP).await;
            call.log(LoggingLevel::Info, "Tool processing data").await;
            work(STEP).await;
            call.log(LoggingLevel::Info, "Tool execution completed").await;
        }
        "test_logging_tool" => call.log(LoggingLevel::Emergency, "heard by whoever asked for any level").await,
        "test_tool_with_progress" => {
            for done in [0.0, 50.0, 100.0] {
                call.progress(done, 100.0).await;
                work(STEP).await;
            }
        }
        "test_reconnection" => {
            call.hang_up();
            // The client comes back after 200 ms and finds the answer still to come.
            work(8 * STEP).await;
        }
        "test_trigger_tool_change" => announce(call, Change::Tools),
        "test_trigger_prompt_change" => announce(call, Change::Prompts),
        "test_trigger_resource_list_change" => announce(call, Change::Resources),
        _ => announce(call, Change::Resource(WATCHED)),
    }
    says("done")
}

/// Tells everyone from outside the call, because its stream is not where news belong.
fn announce(call: &Call<'_>, change: Change) {
    let shared = Arc::clone(&call.server.shared);
    tokio::spawn(async move { shared.changes.announce(change).await });
}
