//! The tools, by what they are about.

pub(crate) mod questions;

mod content;
mod jobs;
mod notices;
mod schemas;

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ErrorData, Tool};

use crate::call::Call;
use crate::client::Stop;

/// Every tool.
pub(crate) fn list() -> Vec<Tool> {
    let all = [content::TOOLS, notices::TOOLS, questions::TOOLS, jobs::TOOLS];
    let tool = |(name, what): &(&'static str, &'static str)| Tool::new(*name, *what, schemas::of(name));
    all.into_iter().flatten().map(tool).collect()
}

/// Runs the tool that a call names.
pub(crate) async fn call(call: &Call<'_>) -> Result<CallToolResponse, ErrorData> {
    let among = |tools: &[(&str, &str)]| tools.iter().any(|(name, _)| *name == call.name());
    let outcome = if among(jobs::TOOLS) {
        jobs::call(call).await
    } else if among(questions::TOOLS) {
        questions::call(call).await.map(Into::into)
    } else if among(notices::TOOLS) {
        Ok(notices::call(call).await.into())
    } else {
        content::call(call).map(Into::into)
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(Stop::Incomplete(result)) => Ok((*result).into()),
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Declined(why)) => Ok(CallToolResult::error(vec![ContentBlock::text(why)]).into()),
        Err(Stop::Cancelled) => Err(ErrorData::internal_error("cancelled", None)),
    }
}

/// A result that says this.
fn says(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}
