//! Every metric family, and one method per event.
//!
//! Labels come from closed sets or from configuration, never from a caller's
//! input: a tool that is not known counts as `tool_name="unknown"`.

mod model;

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::model::ModelFamilies;
pub use self::model::{ModelInfo, ModelMetrics};

/// The `tool_name` of a call whose tool is not known.
pub const UNKNOWN_TOOL: &str = "unknown";

/// Seconds; from the gateway's own overhead to a slow upstream.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How a tool call ended: the `status` of `mcp_tool_invocations_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CallStatus {
    /// The tool answered.
    Success,
    /// The tool, or its server, answered with an error.
    Error,
    /// The caller may not call it, or it does not exist.
    Denied,
    /// The caller's quota is spent.
    RateLimited,
    /// The upstream did not answer as it should.
    UpstreamError,
}

// === impl CallStatus ===

impl CallStatus {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::UpstreamError => "upstream_error",
        }
    }
}

/// What became of a request that was to be passed on to another replica: the
/// `outcome` of `portcullis_forwarded_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOn {
    /// It answered.
    Answered,
    /// It was not there: the request is served here.
    Unreached,
    /// It went away with the request.
    Lost,
}

/// The metric families of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tool_invocations: IntCounterVec,
    tool_duration: HistogramVec,
    http_requests: IntCounterVec,
    authentications: IntCounterVec,
    policy_decisions: IntCounterVec,
    rate_limit_rejections: IntCounterVec,
    upstream_up: IntGaugeVec,
    upstream_requests: IntCounterVec,
    sessions: IntGauge,
    standing_streams: IntGauge,
    forwarded_requests: IntCounterVec,
    config_reloads: IntCounterVec,
    panics: IntCounterVec,
    models: ModelFamilies,
}

/// Makes and registers families; that two share a name is a mistake here.
struct Families<'a>(&'a Registry);

// === impl Families ===

impl Families<'_> {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }

    fn registered<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("the family is well formed");
        self.0.register(Box::new(family.clone())).expect("names are distinct");
        family
    }
}

// === impl Metrics ===

impl Metrics {
    /// Registers all families in a registry of their own.
    ///
    /// # Panics
    ///
    /// If two families share a name, which is a mistake in this file.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families(&registry);
        let counter = |name, help, labels: &[&str]| families.counter(name, help, labels);
        let gauge = |name, help, labels: &[&str]| families.gauge(name, help, labels);
        let tool_duration = families.histogram(
            "mcp_tool_duration_seconds",
            "Time from a tool call's arrival to its answer's end.",
            &["tool_name", "upstream"],
            DURATION_BUCKETS,
        );
        let sessions = families.registered(IntGauge::new("portcullis_sessions", "MCP sessions that are open."));
        let standing_streams = families
            .registered(IntGauge::new("portcullis_standing_streams", "Streams that clients of sessions leave open."));
        gauge("portcullis_build_info", "The running version; always 1.", &["version", "revision"])
            .with_label_values(&[env!("CARGO_PKG_VERSION"), option_env!("PORTCULLIS_REVISION").unwrap_or("unknown")])
            .set(1);
        Self {
            tool_invocations: counter(
                "mcp_tool_invocations_total",
                "Tool calls by how they ended.",
                &["tool_name", "status", "upstream"],
            ),
            tool_duration,
            http_requests: counter(
                "portcullis_http_requests_total",
                "HTTP requests on the main listener.",
                &["path", "method", "code"],
            ),
            authentications: counter(
                "portcullis_authentications_total",
                "Credentials looked at.",
                &["method", "outcome"],
            ),
            policy_decisions: counter(
                "portcullis_policy_decisions_total",
                "Decisions by the policy that made them.",
                &["policy", "outcome"],
            ),
            rate_limit_rejections: counter(
                "portcullis_rate_limit_rejections_total",
                "Tool calls refused because a quota was spent.",
                &["tool_name"],
            ),
            upstream_up: gauge("portcullis_upstream_up", "Whether the upstream answered last time.", &["upstream"]),
            upstream_requests: counter(
                "portcullis_upstream_requests_total",
                "Tool calls at upstreams by how they ended.",
                &["upstream", "outcome"],
            ),
            sessions,
            standing_streams,
            forwarded_requests: counter(
                "portcullis_forwarded_requests_total",
                "Requests that belong to another replica, by what became of passing them on.",
                &["outcome"],
            ),
            config_reloads: counter("portcullis_config_reloads_total", "Configuration reloads.", &["outcome"]),
            panics: counter("portcullis_panics_total", "Panics contained.", &["place"]),
            models: ModelFamilies::register(&families),
            registry,
        }
    }

    /// A tool call ended after `duration`.
    pub fn call_finished(&self, tool: &str, upstream: &str, status: CallStatus, duration: Duration) {
        self.tool_invocations.with_label_values(&[tool, status.as_str(), upstream]).inc();
        self.tool_duration.with_label_values(&[tool, upstream]).observe(duration.as_secs_f64());
    }

    /// An HTTP request on the main listener was answered. `path` is the route
    /// it took, never the path as it was written.
    pub fn http_request(&self, path: &'static str, method: &'static str, code: http::StatusCode) {
        self.http_requests.with_label_values(&[path, method, code.as_str()]).inc();
    }

    /// A credential was looked at. `method` is `api_key`, `jwt`, `anonymous`
    /// or `none`; `outcome` is `accepted` or why not.
    pub fn authentication(&self, method: &'static str, outcome: &'static str) {
        self.authentications.with_label_values(&[method, outcome]).inc();
    }

    /// A policy decided. `policy` is its name, or `default` where none spoke.
    pub fn policy_decision(&self, policy: &str, allowed: bool) {
        self.policy_decisions.with_label_values(&[policy, if allowed { "allow" } else { "deny" }]).inc();
    }

    /// A quota was spent.
    pub fn rate_limited(&self, tool: &str) {
        self.rate_limit_rejections.with_label_values(&[tool]).inc();
    }

    /// The upstream answered, or did not.
    pub fn upstream_up(&self, upstream: &str, up: bool) {
        self.upstream_up.with_label_values(&[upstream]).set(i64::from(up));
    }

    /// The upstream left the configuration.
    pub fn upstream_removed(&self, upstream: &str) {
        // Absent is what removal is for.
        let _ = self.upstream_up.remove_label_values(&[upstream]);
    }

    /// A request to an upstream ended. `outcome` is `ok` or what failed.
    pub fn upstream_request(&self, upstream: &str, outcome: &'static str) {
        self.upstream_requests.with_label_values(&[upstream, outcome]).inc();
    }

    /// The number of open MCP sessions.
    pub fn sessions(&self, open: usize) {
        self.sessions.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// A stream that stands open began, or ended.
    pub fn standing_stream(&self, began: bool) {
        if began {
            self.standing_streams.inc();
        } else {
            self.standing_streams.dec();
        }
    }

    /// A request was to be passed on to another replica.
    pub fn passed_on(&self, outcome: PassedOn) {
        let outcome = match outcome {
            PassedOn::Answered => "answered",
            PassedOn::Unreached => "unreached",
            PassedOn::Lost => "lost",
        };
        self.forwarded_requests.with_label_values(&[outcome]).inc();
    }

    /// A reload was taken (`success`) or refused (`failure`).
    pub fn config_reload(&self, taken: bool) {
        self.config_reloads.with_label_values(&[if taken { "success" } else { "failure" }]).inc();
    }

    /// What is counted of a model.
    #[must_use]
    pub const fn model<'a>(&'a self, model: &'a str) -> ModelMetrics<'a> {
        ModelMetrics { families: &self.models, model }
    }

    /// A panic was contained.
    pub fn panicked(&self, place: &'static str) {
        self.panics.with_label_values(&[place]).inc();
    }

    /// Everything in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("families gathered from a registry can be written to memory");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_call_is_counted_with_its_status() {
        let metrics = Metrics::new();
        metrics.call_finished("demo__add", "demo", CallStatus::Success, Duration::from_millis(3));
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(
            text.contains(r#"mcp_tool_invocations_total{status="success",tool_name="demo__add",upstream="demo"} 1"#)
        );
        assert!(
            text.contains(r#"mcp_tool_duration_seconds_bucket{tool_name="demo__add",upstream="demo",le="0.005"} 1"#)
        );
    }

    #[test]
    fn a_removed_upstream_is_no_longer_shown() {
        let metrics = Metrics::new();
        metrics.upstream_up("crm", true);
        metrics.upstream_removed("crm");
        assert!(!String::from_utf8(metrics.render()).unwrap().contains("portcullis_upstream_up{"));
    }
}
