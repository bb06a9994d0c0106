//! Turns tracing events into log lines.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::line::{Line, debug_into};
use super::line_queue::LineQueue;
use super::{LogFormat, scope};

/// A line's buffer that has grown beyond this is not kept.
const MAX_KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes events to a queue.
pub(super) struct EventLayer {
    format: LogFormat,
    queue: Arc<LineQueue>,
}

/// The ids that a span names.
#[derive(Debug, Default)]
struct SpanIds {
    request_id: Option<String>,
    traceparent: Option<String>,
}

/// Writes an event's fields.
struct Fields<'a, 'b> {
    line: &'a mut Line<'b>,
    scratch: String,
    has_request_id: bool,
}

// === impl EventLayer ===

impl EventLayer {
    pub(super) const fn new(format: LogFormat, queue: Arc<LineQueue>) -> Self {
        Self { format, queue }
    }
}

impl<S> Layer<S> for EventLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut ids = SpanIds::default();
        attributes.record(&mut ids);
        if ids.request_id.is_some() || ids.traceparent.is_some() {
            let span = context.span(id).expect("a new span exists");
            span.extensions_mut().insert(ids);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // Taken, not borrowed: a `Debug` may log.
        let mut buffer = BUFFER.take();
        buffer.clear();
        let metadata = event.metadata();
        let mut line = Line::begin(&mut buffer, self.format, *metadata.level(), metadata.target());
        let mut fields = Fields { line: &mut line, scratch: String::new(), has_request_id: false };
        event.record(&mut fields);
        if !fields.has_request_id {
            push_ids(&mut line, event, &context);
        }
        line.end();
        self.queue.push(&buffer);
        if buffer.capacity() <= MAX_KEPT_BYTES {
            BUFFER.set(buffer);
        }
    }
}

/// The ids of the request at work: the thread's, else those of the spans around.
fn push_ids<S>(line: &mut Line<'_>, event: &Event<'_>, context: &Context<'_, S>)
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    if let Some(record) = scope::current() {
        return line.ids(&record);
    }
    for span in context.event_scope(event).into_iter().flatten() {
        if let Some(ids) = span.extensions().get::<SpanIds>() {
            if let Some(request_id) = &ids.request_id {
                line.text("request_id", request_id);
            }
            if let Some(traceparent) = &ids.traceparent {
                line.text("traceparent", traceparent);
            }
            return;
        }
    }
}

// === impl SpanIds ===

impl Visit for SpanIds {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "request_id" => self.request_id = Some(value.to_owned()),
            "traceparent" => self.traceparent = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "request_id" | "traceparent") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

// === impl Fields ===

impl Fields<'_, '_> {
    /// A field's name, kept apart from the members that every line has.
    fn key(&mut self, field: &Field) -> &'static str {
        match field.name() {
            "timestamp" => "field_timestamp",
            "level" => "field_level",
            "target" => "field_target",
            "request_id" => {
                self.has_request_id = true;
                "request_id"
            }
            name => name,
        }
    }

    fn literal(&mut self, field: &Field, value: impl fmt::Display) {
        let key = self.key(field);
        self.line.literal(key, value);
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.line.message(value);
        }
        let key = self.key(field);
        self.line.text(key, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and no NaN.
        if value.is_finite() { self.literal(field, value) } else { self.record_debug(field, &value) }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.record_str(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut scratch = std::mem::take(&mut self.scratch);
        debug_into(&mut scratch, value);
        self.record_str(field, &scratch);
        self.scratch = scratch;
    }
}
