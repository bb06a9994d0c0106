//! What a model reports while it works, turned into metrics and log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_inference::engine::Description;
use portcullis_inference::engine::observer::Observer;

use crate::metrics::{Metrics, ModelInfo, ModelMetrics};

/// One model's reports.
#[derive(Debug)]
pub(super) struct Reports {
    model: Arc<str>,
    metrics: Arc<Metrics>,
    /// Whether another speaks for this name by now: what is, is its business,
    /// while what happened still counts.
    retired: AtomicBool,
}

// === impl Reports ===

impl Reports {
    pub(super) const fn new(model: Arc<str>, metrics: Arc<Metrics>) -> Self {
        Self { model, metrics, retired: AtomicBool::new(false) }
    }

    /// Whose they are.
    pub(super) const fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// A conversation ended so.
    pub(super) fn answered(&self, outcome: &'static str) {
        self.metrics().answered(outcome);
    }

    /// Nothing is there yet that could answer.
    pub(super) fn loading(&self) {
        self.metrics().loading();
    }

    /// The model is loaded.
    pub(super) fn loaded(&self, what: &Description) {
        if self.speaks() {
            self.metrics().loaded(&ModelInfo {
                family: what.family.clone(),
                device: what.device.clone(),
                backend: what.backend.clone(),
                precision: what.precision.clone(),
                weight_bytes: what.weight_bytes,
                cache_bytes: what.cache_bytes,
            });
        }
        tracing::info!(
            model = %self.model,
            family = what.family,
            parameters = what.parameters,
            device = what.device,
            backend = what.backend,
            precision = what.precision,
            weight_bytes = what.weight_bytes,
            cache_bytes = what.cache_bytes,
            context_length = what.context_length,
            max_concurrent = what.max_concurrent,
            "the model is ready"
        );
    }

    /// Another speaks from here on.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn speaks(&self) -> bool {
        !self.retired.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> ModelMetrics<'_> {
        self.metrics.model(&self.model)
    }
}

impl Observer for Reports {
    fn requests(&self, running: usize, waiting: usize) {
        if self.speaks() {
            self.metrics().requests(running, waiting);
        }
    }

    fn prompt(&self, tokens: usize, cached: usize) {
        self.metrics().prompt(tokens, cached);
    }

    fn first_token(&self, after: Duration) {
        self.metrics().first_token(after);
    }

    fn step(&self, batch: usize, took: Duration) {
        self.metrics().step(batch, took);
    }

    fn finished(&self, tokens: usize, after: Duration) {
        self.metrics().finished(tokens, after);
    }

    fn cache(&self, used: usize, capacity: usize) {
        if self.speaks() {
            self.metrics().cache(used, capacity);
        }
    }

    fn restarted(&self) {
        self.metrics().restarted();
        tracing::error!(model = %self.model, "the model failed and begins anew");
    }
}
