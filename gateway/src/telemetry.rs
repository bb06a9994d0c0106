//! Logs: one line per event and per request, on standard error.
//!
//! Lines go through a bounded queue to one writer thread, so that a slow
//! terminal or pipe never slows a request; what does not fit is dropped and
//! counted. Every line that is written while a request is being worked on
//! bears its `request_id` and `traceparent` (see [`scope`]).

mod access_log;
mod event_layer;
mod line;
mod line_queue;
pub mod scope;

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use self::access_log::{AccessLine, AccessLog};
pub use self::line_queue::LineQueue;

use self::event_layer::EventLayer;

/// Our crates; other people's speak only from `warn` on, unless everything is asked for.
const OUR_TARGET: &str = "portcullis";

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One flat JSON object a line.
    #[default]
    Json,
    /// `time LEVEL target: message key=value …`, for people.
    Text,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How lines are written.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LevelFilter,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: LevelFilter::INFO }
    }
}

/// The process's logs; what is queued is written when this is dropped.
#[derive(Debug)]
pub struct Telemetry {
    settings: LogSettings,
    queue: Arc<LineQueue>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends the process's events and panics to standard error.
    ///
    /// # Errors
    ///
    /// When a subscriber is installed already.
    pub fn install(settings: LogSettings) -> Result<Self, TryInitError> {
        let queue = LineQueue::start(Box::new(std::io::stderr()), settings.format);
        subscriber(settings, Arc::clone(&queue)).try_init()?;
        log_panics(Arc::clone(&queue));
        Ok(Self { settings, queue })
    }

    /// The access log into the same stream.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        AccessLog::new(Arc::clone(&self.queue), self.settings)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.queue.flush();
    }
}

fn subscriber(settings: LogSettings, queue: Arc<LineQueue>) -> impl tracing::Subscriber + Send + Sync {
    let of_others =
        if settings.level == LevelFilter::TRACE { settings.level } else { settings.level.min(LevelFilter::WARN) };
    let filter = Targets::new().with_default(of_others).with_target(OUR_TARGET, settings.level);
    Registry::default().with(EventLayer::new(settings.format, queue).with_filter(filter))
}

/// Logs where a panic happened. What it said is logged only if it is constant
/// text: a formatted message may quote what a caller sent.
fn log_panics(queue: Arc<LineQueue>) {
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        let reason = panic.payload().downcast_ref::<&'static str>().copied();
        tracing::error!(location, reason, "panicked");
        queue.flush();
    }));
}

#[cfg(test)]
pub(crate) use self::line_queue::tests::Sink;

#[cfg(test)]
mod tests;
