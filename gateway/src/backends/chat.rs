//! A language model in this process, behind a tool that bears its name.
//!
//! [`Chat`] is to the router a backend like any other: one tool, calls that
//! are answered whole or piece by piece. What computes stands behind it in a
//! crate that knows neither MCP nor HTTP; this folder is the only part of the
//! gateway that knows that crate.
//!
//! A reload that changes a model loads it anew. Until that is done, and for
//! good where it fails, the one that was there before stands in.

mod answer;
mod arguments;
mod conversation;
mod definition;
mod model;
mod refusal;
mod reports;
pub mod survey;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use portcullis_inference::engine::Engine;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::conversation::Conversation;
use self::model::Model;
use self::reports::Reports;
use super::Backend;
use super::answer::Answer;
use super::settings::ModelSettings;
use super::tool::{Tool, ToolList};
use crate::mcp::request::McpRequest;
use crate::metrics::Metrics;
use crate::rejection::{Rejection, UpstreamFailure};

/// A model and its tool.
pub struct Chat {
    name: Arc<str>,
    tools: Arc<ToolList>,
    since: SystemTime,
    models: Arc<Mutex<Models>>,
    reports: Arc<Reports>,
    /// Turns to `true` once the model is loaded, or surely will not be.
    settled: watch::Receiver<bool>,
    tending: JoinHandle<()>,
}

/// Who answers.
#[derive(Debug, Default)]
struct Models {
    /// As configured; absent once it is closed.
    current: Option<Arc<dyn Model>>,
    /// The one before, until the current one is loaded.
    stand_in: Option<Arc<dyn Model>>,
}

// === impl Chat ===

impl Chat {
    /// Starts to load a model. `before` is what bore its name until now.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn start(settings: &ModelSettings, metrics: &Arc<Metrics>, before: Option<&Self>) -> Arc<Self> {
        let reports = Arc::new(Reports::new(Arc::clone(&settings.name), Arc::clone(metrics)));
        let engine = Engine::open(model::settings(settings), Arc::clone(&reports) as _);
        Self::of(Arc::new(engine), reports, before.and_then(Self::ready))
    }

    /// The tool of a model.
    fn of(model: Arc<dyn Model>, reports: Arc<Reports>, stand_in: Option<Arc<dyn Model>>) -> Arc<Self> {
        let name = Arc::clone(reports.model());
        let tool = Tool::unprefixed(&name, &definition::of(&name)).expect("the definition is one");
        let (settling, settled) = watch::channel(false);
        if stand_in.is_none() {
            reports.loading();
        }
        let models = Arc::new(Mutex::new(Models { current: Some(Arc::clone(&model)), stand_in }));
        let tending = tokio::spawn(tend(model, Arc::clone(&models), Arc::clone(&reports), settling));
        let tools = Arc::new(ToolList::new([tool]));
        Arc::new(Self { name, tools, since: SystemTime::now(), models, reports, settled, tending })
    }

    /// Returns once the model is loaded, or surely will not be.
    pub async fn settled(&self) {
        // Nobody tends it any more: that is settled, too.
        let _ = self.settled.clone().wait_for(|settled| *settled).await;
    }

    /// The model that can answer now, if there is one.
    fn ready(&self) -> Option<Arc<dyn Model>> {
        self.models().answering().filter(|model| model.is_ready())
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        lock(&self.models)
    }

    async fn converse(self: Arc<Self>, request: Box<McpRequest>) -> Result<Answer, Rejection> {
        let model = self.models().answering();
        Conversation::begin(model, Arc::clone(&self.reports), request)?.answer().await
    }
}

// === impl Models ===

impl Models {
    /// Who is to be asked.
    fn answering(&self) -> Option<Arc<dyn Model>> {
        let current = self.current.as_ref();
        current.filter(|current| current.is_ready()).or(self.stand_in.as_ref()).or(current).cloned()
    }
}

fn lock(models: &Mutex<Models>) -> MutexGuard<'_, Models> {
    models.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the model is loaded and says what came of it.
async fn tend(model: Arc<dyn Model>, models: Arc<Mutex<Models>>, reports: Arc<Reports>, settling: watch::Sender<bool>) {
    match model.loaded().await {
        Ok(description) => {
            reports.loaded(&description);
            // Conversations that it still holds keep it for themselves.
            lock(&models).stand_in = None;
        }
        Err(reason) => {
            let name = reports.model();
            if lock(&models).stand_in.is_some() {
                tracing::error!(model = %name, reason, "the changed model cannot be loaded; the last good one stays");
            } else {
                tracing::error!(model = %name, reason, "the model cannot be loaded; its tool refuses");
            }
        }
    }
    settling.send_replace(true);
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chat").field(&self.name).finish()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

impl Backend for Chat {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn model_since(&self) -> Option<SystemTime> {
        Some(self.since)
    }

    fn known_tools(&self) -> Option<Arc<ToolList>> {
        Some(Arc::clone(&self.tools))
    }

    fn tools(&self, _: Instant) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>> {
        Box::pin(async { Ok(Arc::clone(&self.tools)) })
    }

    fn find<'a>(&'a self, full_name: &'a str, _: Instant) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>> {
        Box::pin(async { Ok(self.tools.get(full_name).cloned()) })
    }

    fn call(
        self: Arc<Self>,
        request: Box<McpRequest>,
        _tool: Arc<Tool>,
    ) -> BoxFuture<'static, Result<Answer, Rejection>> {
        Box::pin(self.converse(request))
    }

    fn session_ended(&self, _session: u128) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn retire(&self) {
        self.reports.retire();
        if self.ready().is_none() {
            // Nobody will wait for it to be loaded.
            self.tending.abort();
            self.models().current = None;
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.retire();
        self.tending.abort();
        let Models { current, stand_in } = std::mem::take(&mut *self.models());
        Box::pin(async move {
            for model in [current, stand_in].into_iter().flatten() {
                // Not while a successor has it answer, or a conversation: then
                // the last of them ends it by letting go.
                if Arc::strong_count(&model) == 1 {
                    // The runtime is shutting down where it breaks off.
                    let _ = tokio::task::spawn_blocking(move || model.end()).await;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
