//! The tasks of one client, out of all upstreams.
//!
//! On one page: a client's tasks that are remembered are few.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::DEADLINE;
use crate::backends::Backends;
use crate::backends::answer::Answer;
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;

/// The tasks that the client made in its session and may still see. Where an
/// upstream does not answer in time, its own are missing.
pub(super) async fn list(backends: &Backends, request: &McpRequest) -> Result<Answer, Rejection> {
    if let Some(cursor) = request.params.cursor
        && request.text(cursor) != "null"
    {
        // The list has one page, so no cursor was ever handed out.
        return Err(Rejection::invalid_params("unknown cursor"));
    }
    let deadline = request.deadline.min(Instant::now() + DEADLINE);
    let asked = backends.all().iter().map(|backend| backend.tasks(request, deadline));
    let tasks: Vec<String> = join_all(asked).await.into_iter().flatten().flatten().collect();
    Ok(Answer::result(request.id_text(), &format!(r#"{{"tasks":[{}]}}"#, tasks.join(","))))
}
