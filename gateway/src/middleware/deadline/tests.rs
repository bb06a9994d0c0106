use std::future::{pending, ready};

use tower::{ServiceExt, service_fn};

use super::*;
use crate::mcp::test_request::{TIMEOUT, call};

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_ends_is_ended_after_its_deadline() {
    let begun = tokio::time::Instant::now();
    let service = DeadlineLayer.layer(service_fn(|_: Box<McpRequest>| pending::<Result<(), Rejection>>()));
    assert_eq!(service.oneshot(call("a__t")).await, Err(Rejection::TimedOut));
    let waited = begun.elapsed();
    assert!(waited >= TIMEOUT + GRACE && waited < TIMEOUT + GRACE + Duration::from_millis(5), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_counts_even_after_the_deadline() {
    let service = DeadlineLayer.layer(service_fn(|_: Box<McpRequest>| ready(Ok::<_, Rejection>(7))));
    let mut request = call("a__t");
    request.deadline -= TIMEOUT;
    tokio::time::advance(2 * GRACE).await;
    assert_eq!(service.oneshot(request).await, Ok(7));
}
