//! One line per request, built by hand: it is written for every call.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::line::Line;
use super::line_queue::LineQueue;
use super::{LogFormat, LogSettings};
use crate::record::CallRecord;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes access lines; clones share the queue.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: Arc<LineQueue>,
    format: LogFormat,
    enabled: bool,
}

/// What a request's line says besides its record.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine {
    /// The HTTP method, one of a closed set.
    pub method: &'static str,
    /// The route it took, never the path as it was written.
    pub path: &'static str,
    /// The status it was answered with.
    pub status: StatusCode,
    /// From its head's arrival to its answer's end.
    pub duration: Duration,
    /// Bytes of the answer's body that were handed to the transport.
    pub bytes: u64,
}

// === impl AccessLog ===

impl AccessLog {
    /// Writes to `queue` if the level lets `info` pass.
    #[must_use]
    pub fn new(queue: Arc<LineQueue>, settings: LogSettings) -> Self {
        Self { queue, format: settings.format, enabled: settings.level >= LevelFilter::INFO }
    }

    /// Writes a request's line.
    pub fn write(&self, record: &CallRecord, request: &AccessLine) {
        if !self.enabled {
            return;
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            write_line(buffer, self.format, record, request);
            self.queue.push(buffer);
        });
    }
}

fn write_line(out: &mut Vec<u8>, format: LogFormat, record: &CallRecord, request: &AccessLine) {
    let mut line = Line::begin(out, format, Level::INFO, "portcullis::access");
    line.message("request");
    line.ids(record);
    line.word("method", request.method);
    line.word("path", request.path);
    line.number("status", request.status.as_u16().into());
    line.millis("duration_ms", request.duration);
    line.number("bytes", request.bytes);
    if let Some(address) = record.client_ip.get() {
        line.address("client_ip", *address);
    }
    if let Some(principal) = record.principal.get() {
        line.text("principal", principal.name());
    }
    if let Some(method) = record.rpc_method.get() {
        line.word("rpc_method", method);
    }
    for (key, text) in [("tool", &record.tool), ("upstream", &record.upstream), ("replica", &record.replica)] {
        if let Some(text) = text.get() {
            line.text(key, text);
        }
    }
    if let Some(status) = record.status() {
        line.word("call_status", status.as_str());
    }
    line.end();
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use portcullis_policies::Principal;
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::CallStatus;

    const LINE: AccessLine = AccessLine {
        method: "POST",
        path: "/mcp",
        status: StatusCode::OK,
        duration: Duration::from_micros(12_034),
        bytes: 99,
    };

    fn record() -> CallRecord {
        let traceparent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let record = CallRecord::new(HeaderValue::from_static("r-1"), Some(traceparent));
        record.client_ip.set("2001:db8::1".parse().unwrap()).unwrap();
        record.principal.set(Arc::new(Principal::new("apiKey:ci"))).unwrap();
        record.rpc_method.set("tools/call").unwrap();
        record.tool.set(Arc::from("demo__add")).unwrap();
        record.upstream.set(Arc::from("demo")).unwrap();
        record.set_status(CallStatus::Success);
        record
    }

    #[test]
    fn a_json_line_says_all_that_is_known() {
        let mut out = Vec::new();
        write_line(&mut out, LogFormat::Json, &record(), &LINE);
        let mut line: Value = serde_json::from_slice(&out).unwrap();
        line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert_eq!(
            line,
            json!({
                "level": "info", "target": "portcullis::access", "message": "request", "request_id": "r-1",
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "method": "POST", "path": "/mcp", "status": 200, "duration_ms": 12.034, "bytes": 99,
                "client_ip": "2001:db8::1", "principal": "apiKey:ci", "rpc_method": "tools/call", "tool": "demo__add",
                "upstream": "demo", "call_status": "success",
            })
        );
    }

    #[test]
    fn a_text_line_is_one_line() {
        let mut out = Vec::new();
        write_line(&mut out, LogFormat::Text, &record(), &LINE);
        let line = String::from_utf8(out).unwrap();
        assert!(
            line.ends_with(
                " method=POST path=/mcp status=200 duration_ms=12.034 bytes=99 client_ip=2001:db8::1 principal=apiKey:ci \
             rpc_method=tools/call tool=demo__add upstream=demo call_status=success\n"
            ),
            "{line}"
        );
    }
}
