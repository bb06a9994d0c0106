//! The families of the models in the process.
//!
//! Those named `gen_ai_…` are the metrics of OpenTelemetry's semantic
//! conventions for generative AI, as Prometheus writes their names, with the
//! buckets that the conventions ask for: dashboards made for them work.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::Families;

/// `gen_ai_operation_name` of everything here.
const OPERATION: &str = "chat";
/// `gen_ai_provider_name`: who answers.
const PROVIDER: &str = "portcullis";
/// The labels of the conventions.
const CONVENTION: &[&str] = &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"];

const FIRST_TOKEN_BUCKETS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0];
const PER_TOKEN_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
const REQUEST_BUCKETS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKEN_BUCKETS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const STEP_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What runs where: the labels of `portcullis_model_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// `llama`, `qwen3`.
    pub family: String,
    /// The device's own name.
    pub device: String,
    /// What computes there.
    pub backend: String,
    /// `f32`, `f16`, `q8`, `q4`.
    pub precision: String,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Bytes of key-value cache.
    pub cache_bytes: u64,
}

/// What models do.
#[derive(Debug)]
pub(super) struct ModelFamilies {
    tokens: IntCounterVec,
    cached_tokens: IntCounterVec,
    requests: IntGaugeVec,
    answers: IntCounterVec,
    first_token: HistogramVec,
    batch: HistogramVec,
    step: HistogramVec,
    cache: IntGaugeVec,
    restarts: IntCounterVec,
    up: IntGaugeVec,
    info: IntGaugeVec,
    memory: IntGaugeVec,
    server_first_token: HistogramVec,
    server_per_token: HistogramVec,
    server_request: HistogramVec,
    token_usage: HistogramVec,
    /// The labels that each model's `info` has now.
    described: Mutex<HashMap<String, ModelInfo>>,
}

// === impl ModelFamilies ===

impl ModelFamilies {
    pub(super) fn register(families: &Families<'_>) -> Self {
        let with_type = [CONVENTION, &["gen_ai_token_type"]].concat();
        Self {
            tokens: families.counter(
                "portcullis_model_tokens_total",
                "Tokens of prompts taken in and of answers made.",
                &["model", "kind"],
            ),
            cached_tokens: families.counter(
                "portcullis_model_cached_tokens_total",
                "Tokens of prompts that were still in the cache.",
                &["model"],
            ),
            requests: families.gauge(
                "portcullis_model_requests",
                "Conversations that are computed, and that wait.",
                &["model", "state"],
            ),
            answers: families.counter(
                "portcullis_model_answers_total",
                "Conversations by how they ended.",
                &["model", "outcome"],
            ),
            first_token: families.histogram(
                "portcullis_model_time_to_first_token_seconds",
                "Time from a conversation's arrival to its answer's first token.",
                &["model"],
                FIRST_TOKEN_BUCKETS,
            ),
            batch: families.histogram(
                "portcullis_model_batch_size",
                "Conversations that a step made a token for.",
                &["model"],
                BATCH_BUCKETS,
            ),
            step: families.histogram("portcullis_model_step_seconds", "Time of a step.", &["model"], STEP_BUCKETS),
            cache: families.gauge(
                "portcullis_model_cache_tokens",
                "Places of the key-value cache that are used, and all there are.",
                &["model", "kind"],
            ),
            restarts: families.counter(
                "portcullis_model_restarts_total",
                "Times that the computation failed and began anew.",
                &["model"],
            ),
            up: families.gauge("portcullis_model_up", "Whether the model is loaded.", &["model"]),
            info: families.gauge(
                "portcullis_model_info",
                "What runs where; always 1.",
                &["model", "family", "device", "backend", "precision"],
            ),
            memory: families.gauge(
                "portcullis_model_memory_bytes",
                "Memory on the model's device.",
                &["model", "kind"],
            ),
            server_first_token: families.histogram(
                "gen_ai_server_time_to_first_token_seconds",
                "Time to generate the first token.",
                CONVENTION,
                FIRST_TOKEN_BUCKETS,
            ),
            server_per_token: families.histogram(
                "gen_ai_server_time_per_output_token_seconds",
                "Time for each token after the first.",
                CONVENTION,
                PER_TOKEN_BUCKETS,
            ),
            server_request: families.histogram(
                "gen_ai_server_request_duration_seconds",
                "Time from a conversation's arrival to its answer's end.",
                CONVENTION,
                REQUEST_BUCKETS,
            ),
            token_usage: families.histogram(
                "gen_ai_client_token_usage",
                "Tokens of each prompt and answer.",
                &with_type,
                TOKEN_BUCKETS,
            ),
            described: Mutex::default(),
        }
    }
}

/// One model's metrics: an event, a method.
#[derive(Clone, Copy, Debug)]
pub struct ModelMetrics<'a> {
    pub(super) families: &'a ModelFamilies,
    pub(super) model: &'a str,
}

// === impl ModelMetrics ===

impl ModelMetrics<'_> {
    /// There is no model: not yet, or no more.
    pub fn down(&self) {
        self.families.up.with_label_values(&[self.model]).set(0);
    }

    /// The model is loaded.
    pub fn loaded(&self, info: &ModelInfo) {
        self.forget_info();
        self.families.up.with_label_values(&[self.model]).set(1);
        self.families.info.with_label_values(&self.info_labels(info)).set(1);
        for (kind, bytes) in [("weights", info.weight_bytes), ("cache", info.cache_bytes)] {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.families.memory.with_label_values(&[self.model, kind]).set(bytes);
        }
        self.described().insert(self.model.to_owned(), info.clone());
    }

    /// So many conversations are computed, and so many wait.
    pub fn requests(&self, running: usize, waiting: usize) {
        for (state, count) in [("running", running), ("waiting", waiting)] {
            self.families.requests.with_label_values(&[self.model, state]).set(signed(count));
        }
    }

    /// A prompt of so many tokens was taken in, so many of which were known.
    pub fn prompt(&self, tokens: usize, cached: usize) {
        self.families.tokens.with_label_values(&[self.model, "prompt"]).inc_by(tokens as u64);
        self.families.cached_tokens.with_label_values(&[self.model]).inc_by(cached as u64);
        self.usage("input", tokens);
    }

    /// An answer began.
    pub fn first_token(&self, after: Duration) {
        self.families.first_token.with_label_values(&[self.model]).observe(after.as_secs_f64());
        self.families.server_first_token.with_label_values(&self.convention()).observe(after.as_secs_f64());
    }

    /// A step made a token for so many conversations.
    pub fn step(&self, batch: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        self.families.batch.with_label_values(&[self.model]).observe(batch as f64);
        self.families.step.with_label_values(&[self.model]).observe(seconds);
        let per_token = self.families.server_per_token.with_label_values(&self.convention());
        // Each of its tokens took all of the step.
        for _ in 0..batch {
            per_token.observe(seconds);
        }
    }

    /// An answer of so many tokens ended.
    pub fn finished(&self, tokens: usize, after: Duration) {
        self.families.tokens.with_label_values(&[self.model, "completion"]).inc_by(tokens as u64);
        self.families.server_request.with_label_values(&self.convention()).observe(after.as_secs_f64());
        self.usage("output", tokens);
    }

    /// A conversation ended so, in the caller's eyes.
    pub fn answered(&self, outcome: &'static str) {
        self.families.answers.with_label_values(&[self.model, outcome]).inc();
    }

    /// So many of so many places of the cache are used.
    pub fn cache(&self, used: usize, capacity: usize) {
        for (kind, count) in [("used", used), ("capacity", capacity)] {
            self.families.cache.with_label_values(&[self.model, kind]).set(signed(count));
        }
    }

    /// The computation failed and begins anew.
    pub fn restarted(&self) {
        self.families.restarts.with_label_values(&[self.model]).inc();
    }

    /// The model left the configuration: what it is now is gone, what it did
    /// stays counted.
    pub fn removed(&self) {
        self.forget_info();
        // Absent is what removal is for.
        let _ = self.families.up.remove_label_values(&[self.model]);
        for state in ["running", "waiting"] {
            let _ = self.families.requests.remove_label_values(&[self.model, state]);
        }
        for kind in ["used", "capacity"] {
            let _ = self.families.cache.remove_label_values(&[self.model, kind]);
        }
        for kind in ["weights", "cache"] {
            let _ = self.families.memory.remove_label_values(&[self.model, kind]);
        }
    }

    fn forget_info(&self) {
        if let Some(old) = self.described().remove(self.model) {
            let _ = self.families.info.remove_label_values(&self.info_labels(&old));
        }
    }

    fn described(&self) -> std::sync::MutexGuard<'_, HashMap<String, ModelInfo>> {
        self.families.described.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info_labels<'b>(&'b self, info: &'b ModelInfo) -> [&'b str; 5] {
        [self.model, &info.family, &info.device, &info.backend, &info.precision]
    }

    fn convention(&self) -> [&str; 3] {
        [OPERATION, PROVIDER, self.model]
    }

    fn usage(&self, kind: &str, tokens: usize) {
        let labels = [OPERATION, PROVIDER, self.model, kind];
        self.families.token_usage.with_label_values(&labels).observe(tokens as f64);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn info(device: &str) -> ModelInfo {
        ModelInfo {
            family: "llama".to_owned(),
            device: device.to_owned(),
            backend: "flex".to_owned(),
            precision: "f32".to_owned(),
            weight_bytes: 12,
            cache_bytes: 34,
        }
    }

    fn rendered(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).unwrap()
    }

    #[test]
    fn a_conversation_is_counted_in_tokens_and_times() {
        let metrics = Metrics::new();
        let model = metrics.model("chat");
        model.prompt(20, 5);
        model.first_token(Duration::from_millis(30));
        model.step(2, Duration::from_millis(20));
        model.finished(7, Duration::from_millis(300));
        model.answered("stop");
        let text = rendered(&metrics);
        for line in [
            r#"portcullis_model_tokens_total{kind="prompt",model="chat"} 20"#,
            r#"portcullis_model_tokens_total{kind="completion",model="chat"} 7"#,
            r#"portcullis_model_cached_tokens_total{model="chat"} 5"#,
            r#"portcullis_model_time_to_first_token_seconds_count{model="chat"} 1"#,
            r#"portcullis_model_answers_total{model="chat",outcome="stop"} 1"#,
            r#"gen_ai_server_time_per_output_token_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="portcullis",gen_ai_request_model="chat"} 2"#,
            r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="portcullis",gen_ai_request_model="chat",gen_ai_token_type="output"} 7"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_model_that_moved_is_described_once_and_one_that_left_not_at_all() {
        let metrics = Metrics::new();
        let model = metrics.model("chat");
        model.down();
        model.requests(0, 0);
        assert!(rendered(&metrics).contains(r#"portcullis_model_up{model="chat"} 0"#));
        model.loaded(&info("one"));
        model.loaded(&info("two"));
        model.cache(1, 2);
        let text = rendered(&metrics);
        assert!(text.contains(r#"device="two""#) && !text.contains(r#"device="one""#), "{text}");
        assert!(text.contains(r#"portcullis_model_memory_bytes{kind="cache",model="chat"} 34"#), "{text}");
        model.removed();
        let text = rendered(&metrics);
        assert!(!text.contains(r#"model="chat""#), "{text}");
    }
}
