use std::future::{pending, ready};

use futures_util::stream;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::audit::AuditSettings;
use crate::backends::Backend;
use crate::backends::test_backend::TestBackend;
use crate::mcp::test_request::{TIMEOUT, call, list};

struct Meters {
    metrics: Arc<Metrics>,
    audit: Option<Audit>,
}

impl Meters {
    fn new() -> Self {
        Self { metrics: Arc::default(), audit: None }
    }

    fn layer(&self) -> MeterLayer {
        let backend: Arc<dyn Backend> = Arc::new(TestBackend::new("a", &["t"]));
        let backends = Backends::new(vec![backend], "__".into());
        MeterLayer::new(Arc::new(backends), Arc::clone(&self.metrics), self.audit.clone())
    }

    /// Calls `tool`; `inner` gets the record and ends the call.
    async fn call<F>(&self, tool: &str, inner: F) -> Result<Answer, Rejection>
    where
        F: Fn(&CallRecord) -> Result<Answer, Rejection> + Clone + Send + Sync + 'static,
    {
        let service = service_fn(move |request: Box<McpRequest>| ready(inner(&request.record)));
        self.layer().layer(service).oneshot(call(tool)).await
    }

    fn count(&self, tool: &str, status: &str) -> usize {
        let upstream = if tool == UNKNOWN_TOOL { UNKNOWN_TOOL } else { "a" };
        let line =
            format!(r#"mcp_tool_invocations_total{{status="{status}",tool_name="{tool}",upstream="{upstream}"}} "#);
        let text = String::from_utf8(self.metrics.render()).unwrap();
        text.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }
}

fn answered() -> Answer {
    Answer::result("1", "{}")
}

#[tokio::test]
async fn every_end_of_a_call_is_counted_under_its_status() {
    for (status, label) in [
        (CallStatus::Success, "success"),
        (CallStatus::Error, "error"),
        (CallStatus::Denied, "denied"),
        (CallStatus::RateLimited, "rate_limited"),
        (CallStatus::UpstreamError, "upstream_error"),
    ] {
        let meters = Meters::new();
        let ended = meters.call("a__t", move |record| {
            record.set_status(status);
            if status == CallStatus::Success { Ok(answered()) } else { Err(Rejection::Internal) }
        });
        assert_eq!(ended.await.is_ok(), status == CallStatus::Success);
        assert_eq!(meters.count("a__t", label), 1, "{label}");
        let limited = String::from_utf8(meters.metrics.render()).unwrap();
        assert_eq!(
            limited.contains(r#"portcullis_rate_limit_rejections_total{tool_name="a__t"} 1"#),
            status == CallStatus::RateLimited
        );
    }
}

#[tokio::test]
async fn a_refusal_that_nobody_classed_is_an_error() {
    let meters = Meters::new();
    meters.call("a__t", |_| Err(Rejection::Internal)).await.unwrap_err();
    assert_eq!(meters.count("a__t", "error"), 1);
}

#[tokio::test]
async fn a_name_nobody_knows_is_counted_as_unknown() {
    let meters = Meters::new();
    let denied = |record: &CallRecord| {
        record.set_status(CallStatus::Denied);
        Err(Rejection::Internal)
    };
    meters.call("a__made_up", denied).await.unwrap_err();
    meters.call("evil", denied).await.unwrap_err();
    assert_eq!(meters.count(UNKNOWN_TOOL, "denied"), 2);
    let text = String::from_utf8(meters.metrics.render()).unwrap();
    assert!(!text.contains("evil") && !text.contains("made_up"));
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_counted_when_it_does() {
    let meters = Meters::new();
    let service = service_fn(|_: Box<McpRequest>| pending::<Result<Answer, Rejection>>());
    let mut running = Box::pin(meters.layer().layer(service).oneshot(call("a__t")));
    assert!(running.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    assert_eq!(meters.count("a__t", "error"), 0);
    drop(running);
    assert_eq!(meters.count("a__t", "error"), 1);
}

#[tokio::test]
async fn a_streamed_call_ends_with_its_stream() {
    let meters = Meters::new();
    let streaming = |_: &CallRecord| Ok(Answer::Stream(Box::pin(stream::iter([Ok(Bytes::new()), Ok(Bytes::new())]))));
    let Ok(Answer::Stream(mut read)) = meters.call("a__t", streaming).await else { panic!("no stream") };
    assert!(read.next().await.is_some());
    assert_eq!(meters.count("a__t", "error"), 0);
    // Broken off: nobody said that it ended well.
    drop(read);
    assert_eq!(meters.count("a__t", "error"), 1);

    let finishing = |record: &CallRecord| {
        record.set_status(CallStatus::Success);
        Ok(Answer::Stream(Box::pin(stream::iter([Ok(Bytes::new())]))))
    };
    let Ok(Answer::Stream(read)) = meters.call("a__t", finishing).await else { panic!("no stream") };
    assert_eq!(read.count().await, 1);
    assert_eq!(meters.count("a__t", "success"), 1);
}

#[tokio::test]
async fn what_calls_no_tool_is_not_counted() {
    let meters = Meters::new();
    let service = service_fn(|_: Box<McpRequest>| ready(Ok::<_, Rejection>(answered())));
    meters.layer().layer(service).oneshot(list()).await.unwrap();
    assert!(!String::from_utf8(meters.metrics.render()).unwrap().contains("mcp_tool_invocations_total{"));
}

#[tokio::test]
async fn calls_are_recorded_whatever_becomes_of_them() {
    for include_arguments in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let settings = AuditSettings { file: folder.path().join("audit.jsonl"), include_arguments };
        let log = Arc::new(AuditLog::open(&settings).unwrap());
        let meters = Meters { metrics: Arc::default(), audit: Some(Audit { log, include_arguments }) };
        meters.call("a__t", |_| Ok(answered())).await.unwrap();
        meters.call("a__made_up", |_| Err(Rejection::Internal)).await.unwrap_err();
        drop(meters);
        let text = std::fs::read_to_string(&settings.file).unwrap();
        let tools: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|entry| entry.get("request_id").is_some())
            .map(|entry| entry["tool"].clone())
            .collect();
        assert_eq!(tools, [serde_json::json!("a__t"), serde_json::Value::Null]);
        assert_eq!(text.contains("arguments"), include_arguments);
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_is_made_that_cannot_be_recorded() {
    let log = Arc::new(AuditLog::with_room(1));
    let meters = Meters { metrics: Arc::default(), audit: Some(Audit { log, include_arguments: false }) };
    // Nobody writes: the one place is taken for good.
    meters.call("a__t", |_| Ok(answered())).await.unwrap();
    let begun = tokio::time::Instant::now();
    let refused = meters.call("a__t", |_| panic!("the call is not made")).await.unwrap_err();
    assert_eq!(refused, Rejection::AuditUnavailable);
    assert_eq!(begun.elapsed().as_secs(), TIMEOUT.as_secs());
    // It counts all the same; the call before, whose status nobody set, too.
    assert_eq!(meters.count("a__t", "error"), 2);
}
