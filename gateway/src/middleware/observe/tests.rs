use std::future::{pending, ready};

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::body::Body;
use crate::telemetry::{LineQueue, LogFormat, LogSettings, Sink};

/// An observing layer and where its words go.
struct Observatory {
    layer: ObserveLayer,
    metrics: Arc<Metrics>,
    queue: Arc<LineQueue>,
    sink: Sink,
}

impl Observatory {
    fn new() -> Self {
        let (sink, metrics) = (Sink::default(), Arc::new(Metrics::new()));
        let queue = LineQueue::start(Box::new(sink.clone()), LogFormat::Json);
        let access_log = AccessLog::new(Arc::clone(&queue), LogSettings::default());
        let layer = ObserveLayer::new(Arc::clone(&metrics), access_log);
        Self { layer, metrics, queue, sink }
    }

    fn lines(&self) -> Vec<Value> {
        self.queue.flush();
        self.sink.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn counted(&self, series: &str) -> bool {
        String::from_utf8(self.metrics.render()).unwrap().contains(series)
    }
}

fn routed(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from("hello"));
    *response.status_mut() = status;
    response
}

#[tokio::test]
async fn the_line_is_written_when_the_body_ends_and_names_the_route() {
    let observatory = Observatory::new();
    let service = ServiceBuilder::new()
        .layer(observatory.layer.clone())
        .service(service_fn(|_: Request<()>| ready(Ok(routed(StatusCode::OK)))));
    let request = Request::post("/mcp?key=secret").header("x-request-id", "mine").body(()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers()[X_REQUEST_ID], "mine");
    assert!(observatory.lines().is_empty());
    assert!(observatory.counted(r#"portcullis_http_requests_total{code="200",method="POST",path="/mcp"} 1"#));

    response.into_body().collect().await.unwrap();
    let lines = observatory.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["message"], "request");
    assert_eq!(lines[0]["request_id"], "mine");
    assert_eq!(lines[0]["path"], "/mcp");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["bytes"], 5);
    assert!(!observatory.sink.text().contains("secret"));
}

#[tokio::test]
async fn layers_inside_see_the_record_and_its_scope() {
    let observatory = Observatory::new();
    let service = ServiceBuilder::new().layer(observatory.layer.clone()).service(service_fn(|request: Request<()>| {
        let record = request.extensions().get::<Arc<CallRecord>>().unwrap();
        assert_eq!(scope::current().unwrap().request_id, record.request_id);
        async {
            assert!(scope::current().is_some());
            Ok(routed(StatusCode::NO_CONTENT))
        }
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert!(!response.headers()[X_REQUEST_ID].is_empty());
    assert!(scope::current().is_none());
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_recorded() {
    let observatory = Observatory::new();
    let mut service = ServiceBuilder::new()
        .layer(observatory.layer.clone())
        .service(service_fn(|_: Request<()>| pending::<Result<Response<Body>, Infallible>>()));
    drop(service.ready().await.unwrap().call(Request::new(())));
    assert_eq!(observatory.lines()[0]["status"], 499);
    assert!(observatory.counted(r#"{code="499",method="GET",path="other"} 1"#));
}

#[tokio::test]
async fn an_answer_without_route_and_an_invented_method_count_as_other() {
    let observatory = Observatory::new();
    let service = ServiceBuilder::new()
        .layer(observatory.layer.clone())
        .service(service_fn(|_: Request<()>| ready(Ok(Response::new(Body::empty())))));
    let request = Request::builder().method("INVENTED").body(()).unwrap();
    service.oneshot(request).await.unwrap();
    assert!(observatory.counted(r#"{code="200",method="other",path="other"} 1"#));
}
