//! What a model reports while it works, turned into metrics and log lines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_inference::engine::Description;
use portcullis_inference::engine::observer::Observer;

use crate::metrics::{Metrics, ModelInfo, ModelMetrics};

/// One model's reports.
///
/// What happened is counted always. What is at present, only one of the models
/// of a name can say: while it does not speak it is remembered, and said where
/// it begins to.
#[derive(Debug)]
pub(super) struct Reports {
    model: Arc<str>,
    metrics: Arc<Metrics>,
    present: Mutex<Present>,
}

/// What is at present.
#[derive(Debug, Default)]
struct Present {
    /// Whether it is this model that the gauges tell of.
    speaks: bool,
    /// Running and waiting.
    requests: (usize, usize),
    /// Used, and all there are.
    cache: Option<(usize, usize)>,
    /// What is loaded, while it is.
    info: Option<ModelInfo>,
}

// === impl Reports ===

impl Reports {
    /// Of a model that speaks, or does not yet.
    pub(super) fn new(model: Arc<str>, metrics: Arc<Metrics>, speaks: bool) -> Self {
        let reports = Self { model, metrics, present: Mutex::default() };
        if speaks {
            reports.speak();
        }
        reports
    }

    /// Whose they are.
    pub(super) const fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// A conversation ended so.
    pub(super) fn answered(&self, outcome: &'static str) {
        self.metrics().answered(outcome);
    }

    /// The model is loaded.
    pub(super) fn loaded(&self, what: &Description) {
        let info = ModelInfo {
            family: what.family.clone(),
            device: what.device.clone(),
            backend: what.backend.clone(),
            precision: what.precision.clone(),
            weight_bytes: what.weight_bytes,
            cache_bytes: what.cache_bytes,
        };
        let mut present = self.present();
        if present.speaks {
            self.metrics().loaded(&info);
        }
        present.info = Some(info);
        drop(present);
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

    /// There is nothing that could answer: not yet, or no more.
    pub(super) fn down(&self) {
        let mut present = self.present();
        present.info = None;
        if present.speaks {
            self.metrics().down();
        }
    }

    /// The gauges tell of this model from here on.
    pub(super) fn speak(&self) {
        let mut present = self.present();
        present.speaks = true;
        let metrics = self.metrics();
        match &present.info {
            Some(info) => metrics.loaded(info),
            None => metrics.down(),
        }
        metrics.requests(present.requests.0, present.requests.1);
        if let Some((used, capacity)) = present.cache {
            metrics.cache(used, capacity);
        }
    }

    /// The gauges tell of this model no more.
    pub(super) fn retire(&self) {
        self.present().speaks = false;
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self) -> ModelMetrics<'_> {
        self.metrics.model(&self.model)
    }
}

impl Observer for Reports {
    fn requests(&self, running: usize, waiting: usize) {
        let mut present = self.present();
        present.requests = (running, waiting);
        if present.speaks {
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
        let mut present = self.present();
        present.cache = Some((used, capacity));
        if present.speaks {
            self.metrics().cache(used, capacity);
        }
    }

    fn restarted(&self) {
        self.metrics().restarted();
    }
}
