//! The models of a configuration; the one place where a program without any
//! differs from one with them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::backends::Backend;
#[cfg(feature = "chat")]
use crate::backends::chat::Chat;
use crate::backends::settings::ModelSettings;
use crate::metrics::Metrics;

/// None: a configuration that names a model is refused.
#[cfg(not(feature = "chat"))]
type Chat = std::convert::Infallible;

/// Models by name, each with what it was made of.
#[derive(Default)]
pub(super) struct Models(HashMap<Arc<str>, (ModelSettings, Arc<Chat>)>);

// === impl Models ===

impl Models {
    /// The models of these settings. Those that did not change are taken over
    /// from `last` as they are loaded; the others begin to load, and so do
    /// those that failed.
    #[cfg(feature = "chat")]
    pub(super) fn start(settings: &[ModelSettings], last: Option<&Self>, metrics: &Arc<Metrics>) -> Self {
        let models = settings.iter().map(|settings| {
            let before = last.and_then(|last| last.0.get(&settings.name));
            let model = match before {
                Some((old, model)) if old == settings && !model.has_failed() => Arc::clone(model),
                before => Chat::start(settings, metrics, before.map(|(_, model)| &**model)),
            };
            (Arc::clone(&settings.name), (settings.clone(), model))
        });
        Self(models.collect())
    }

    #[cfg(not(feature = "chat"))]
    pub(super) fn start(_: &[ModelSettings], _: Option<&Self>, _: &Arc<Metrics>) -> Self {
        Self::default()
    }

    /// The model of this name, as the router knows it.
    pub(super) fn backend(&self, name: &str) -> Option<Arc<dyn Backend>> {
        self.0.get(name).map(|(_, model)| backend(model))
    }

    /// All of them.
    pub(super) fn backends(&self) -> impl Iterator<Item = Arc<dyn Backend>> {
        self.0.values().map(|(_, model)| backend(model))
    }

    /// Whether one of them could not be loaded, or has gone.
    #[cfg(feature = "chat")]
    pub(super) fn any_failed(&self) -> bool {
        self.0.values().any(|(_, model)| model.has_failed())
    }

    #[cfg(not(feature = "chat"))]
    pub(super) fn any_failed(&self) -> bool {
        false
    }

    /// Returns once each is loaded, or surely will not be.
    #[cfg(feature = "chat")]
    pub(super) async fn settled(&self) {
        futures_util::future::join_all(self.0.values().map(|(_, model)| model.settled())).await;
    }

    #[cfg(not(feature = "chat"))]
    pub(super) async fn settled(&self) {}
}

/// Which of these models have no device or no memory here, for the operator.
/// Looks for both, and takes a while where there are models.
#[cfg(feature = "chat")]
pub(super) fn beyond_this_machine(models: &[ModelSettings]) -> Vec<String> {
    use crate::backends::chat::survey::{DescribeError, adapters, describe};
    let lacking = |settings: &ModelSettings| match describe(settings) {
        Err(DescribeError::Machine(reason)) => Some(format!("models.{}: {reason}", settings.name)),
        // What is wrong with a checkpoint is said where it is loaded, and
        // keeps nobody from calling what else there is.
        Ok(_) | Err(DescribeError::Checkpoint(_)) => None,
    };
    let mut lines: Vec<String> = models.iter().filter_map(lacking).collect();
    if !lines.is_empty() {
        let found = adapters();
        if found.is_empty() {
            lines.push("no adapter was found".to_owned());
        }
        lines.extend(found.iter().map(|it| format!("adapter found: {} ({}, {})", it.name, it.kind, it.backend)));
    }
    lines
}

#[cfg(not(feature = "chat"))]
pub(super) fn beyond_this_machine(_: &[ModelSettings]) -> Vec<String> {
    Vec::new()
}

#[cfg(feature = "chat")]
fn backend(model: &Arc<Chat>) -> Arc<dyn Backend> {
    Arc::clone(model) as _
}

#[cfg(not(feature = "chat"))]
fn backend(model: &Arc<Chat>) -> Arc<dyn Backend> {
    match **model {}
}
