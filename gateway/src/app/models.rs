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
    /// from `last` as they are loaded; the others begin to load.
    #[cfg(feature = "chat")]
    pub(super) fn start(settings: &[ModelSettings], last: Option<&Self>, metrics: &Arc<Metrics>) -> Self {
        let models = settings.iter().map(|settings| {
            let before = last.and_then(|last| last.0.get(&settings.name));
            let model = match before {
                Some((old, model)) if old == settings => Arc::clone(model),
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

    /// Returns once each is loaded, or surely will not be.
    #[cfg(feature = "chat")]
    pub(super) async fn settled(&self) {
        futures_util::future::join_all(self.0.values().map(|(_, model)| model.settled())).await;
    }

    #[cfg(not(feature = "chat"))]
    pub(super) async fn settled(&self) {}
}

#[cfg(feature = "chat")]
fn backend(model: &Arc<Chat>) -> Arc<dyn Backend> {
    Arc::clone(model) as _
}

#[cfg(not(feature = "chat"))]
fn backend(model: &Arc<Chat>) -> Arc<dyn Backend> {
    match **model {}
}
