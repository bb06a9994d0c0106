mod bodies;
mod front;
mod legacy;
mod modern;
mod openai;
mod rest;
mod streams;

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Full};
use portcullis_policies::Principal;
use serde_json::Value;
use tokio::time::Instant;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::backends::Backend;
use crate::backends::test_backend::TestBackend;
use crate::backends::tool::full_name;
use crate::mcp::operation::Operation;
use crate::mcp::session::Agreement;
use crate::mcp::version::Version;
use crate::record::CallRecord;

/// A decoder before a service that keeps what reaches it.
struct Front {
    sessions: Arc<Sessions>,
    seen: Arc<Mutex<VecDeque<Box<McpRequest>>>>,
    /// What the service inside answers.
    answer: fn(&McpRequest) -> Result<Answer, Rejection>,
}

/// An answer of [`Front`]: its status, its headers and its body.
struct Answered {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {}", self.body))
    }
}

const SETTINGS_MAX_BODY: usize = 2048;

impl Front {
    fn new() -> Self {
        Self {
            sessions: Arc::new(Sessions::for_tests(10)),
            seen: Arc::default(),
            answer: |request| match request.id {
                Some(_) => Ok(Answer::result(request.id_text(), "{}")),
                None => Ok(Answer::Accepted),
            },
        }
    }

    fn answering(answer: fn(&McpRequest) -> Result<Answer, Rejection>) -> Self {
        Self { answer, ..Self::new() }
    }

    /// A session of a principal.
    fn session(&self, principal: &str, version: Version) -> Arc<str> {
        self.session_at(None, principal, version)
    }

    /// The same at the path of one upstream.
    fn session_at(&self, server: Option<&str>, principal: &str, version: Version) -> Arc<str> {
        let agreement = Agreement {
            version,
            principal: principal.into(),
            server: server.map(Arc::from),
            capabilities: Bytes::new(),
            client_info: None,
        };
        Arc::clone(&self.sessions.open(agreement).id)
    }

    async fn ask<B>(&self, mut request: Request<B>) -> Result<Response<Body>, Rejection>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let settings = DecodeSettings {
            max_body_bytes: SETTINGS_MAX_BODY,
            request_timeout: Duration::from_secs(60),
            separator: "__".into(),
            connections: ConnectionSettings::default(),
            replicas: None,
        };
        let crm: Arc<dyn Backend> = Arc::new(TestBackend::new("crm", &[]));
        let chat: Arc<dyn Backend> = Arc::new(TestBackend::model("chat"));
        let backends = Arc::new(Backends::new(vec![crm, chat], "__".into()));
        let (seen, answer) = (Arc::clone(&self.seen), self.answer);
        let inner = service_fn(move |request: Box<McpRequest>| {
            let answered = answer(&request);
            seen.lock().unwrap().push_back(request);
            std::future::ready(answered)
        });
        let door = Door::at(request.uri().path());
        request.extensions_mut().insert(door);
        let record = CallRecord::new(HeaderValue::from_static("r1"), None);
        record.principal.set(Arc::new(Principal::new("apiKey:ci"))).unwrap();
        request.extensions_mut().insert(Arc::new(record));
        DecodeLayer::new(settings, Arc::clone(&self.sessions), backends).layer(inner).oneshot(request).await
    }

    /// Sends a request; a refusal of the outer layers is answered as they do.
    async fn send(&self, method: Method, path: &str, headers: &[(&'static str, &str)], body: &str) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let response = self.ask(request).await.unwrap_or_else(|rejection| refuse(&rejection, None, Era::Legacy));
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answered { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn post(&self, headers: &[(&'static str, &str)], body: &str) -> Answered {
        self.send(Method::POST, "/mcp", headers, body).await
    }

    /// The one request that got through.
    fn passed(&self) -> Box<McpRequest> {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "one request gets through");
        seen.pop_front().expect("it is there")
    }

    fn nothing_passed(&self) -> bool {
        self.seen.lock().unwrap().is_empty()
    }
}

const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
