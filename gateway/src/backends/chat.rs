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
mod voice;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use portcullis_inference::engine::{Engine, State};
use tokio::sync::watch;
use tokio::time::Instant;

use self::conversation::Conversation;
use self::model::Model;
use self::reports::Reports;
use self::voice::Voice;
use super::Backend;
use super::answer::Answer;
use super::callee::Callee;
use super::settings::ModelSettings;
use super::tool::{Tool, ToolList};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::request::McpRequest;
use crate::metrics::Metrics;
use crate::rejection::{Rejection, UpstreamFailure};

/// A model and its tool.
pub struct Chat {
    name: Arc<str>,
    tools: Arc<ToolList>,
    since: SystemTime,
    voices: Arc<Mutex<Voices>>,
    reports: Arc<Reports>,
    /// Turns to `true` once the model is loaded, or surely will not be.
    settled: watch::Receiver<bool>,
}

/// Who answers.
#[derive(Debug, Default)]
struct Voices {
    /// As configured; absent once it is closed.
    current: Option<Arc<Voice>>,
    /// The one before, until the current one is loaded.
    stand_in: Option<Arc<Voice>>,
    /// The one that now stands in for the successor of all these.
    handed_over: Weak<Voice>,
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
        let stand_in = before.and_then(Self::hand_over);
        let reports = Reports::new(Arc::clone(&settings.name), Arc::clone(metrics), stand_in.is_none());
        let reports = Arc::new(reports);
        let engine = Engine::open(model::settings(settings), Arc::clone(&reports) as _);
        Self::of(Arc::new(engine), reports, stand_in)
    }

    /// The tool of a model.
    fn of(model: Arc<dyn Model>, reports: Arc<Reports>, stand_in: Option<Arc<Voice>>) -> Arc<Self> {
        let name = Arc::clone(reports.model());
        let tool = Tool::unprefixed(&name, &definition::of(&name)).expect("the definition is one");
        let (settling, settled) = watch::channel(false);
        let voices = Arc::new(Mutex::new(Voices { stand_in, ..Voices::default() }));
        let tending = tend(model.states(), Arc::clone(&reports), Arc::downgrade(&voices), settling);
        lock(&voices).current = Some(Voice::new(model, Arc::clone(&reports), tending));
        let tools = Arc::new(ToolList::new([tool]));
        Arc::new(Self { name, tools, since: SystemTime::now(), voices, reports, settled })
    }

    /// Returns once the model is loaded, or surely will not be.
    pub async fn settled(&self) {
        // Nobody tends it any more: that is settled, too.
        let _ = self.settled.clone().wait_for(|settled| *settled).await;
    }

    /// Whether the model could not be loaded, or has gone.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.voices().current.as_ref().is_none_or(|current| current.has_failed())
    }

    /// The model that can answer now, for a successor.
    fn hand_over(&self) -> Option<Arc<Voice>> {
        let mut voices = self.voices();
        let ready = voices.answering().filter(|voice| voice.is_ready())?;
        voices.handed_over = Arc::downgrade(&ready);
        Some(ready)
    }

    fn voices(&self) -> MutexGuard<'_, Voices> {
        lock(&self.voices)
    }

    async fn converse(self: Arc<Self>, request: Box<McpRequest>) -> Result<Answer, Rejection> {
        let voice = self.voices().answering();
        Conversation::begin(voice, Arc::clone(&self.reports), request)?.answer().await
    }
}

// === impl Voices ===

impl Voices {
    /// Who is to be asked.
    fn answering(&self) -> Option<Arc<Voice>> {
        let current = self.current.as_ref();
        current.filter(|current| current.is_ready()).or(self.stand_in.as_ref()).or(current).cloned()
    }

    /// No more than what may still answer running calls, and the successor's.
    /// The others are to be let go of.
    fn retire(&mut self) -> Option<Arc<Voice>> {
        for voice in [&self.current, &self.stand_in].into_iter().flatten() {
            if !std::ptr::eq(self.handed_over.as_ptr(), Arc::as_ptr(voice)) {
                voice.reports.retire();
            }
        }
        // Nobody will wait for it to be loaded.
        self.current.take_if(|current| !current.is_ready())
    }
}

fn lock(voices: &Mutex<Voices>) -> MutexGuard<'_, Voices> {
    voices.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows how far a model is: says so, and has it take over once it is
/// loaded.
async fn tend(
    mut states: watch::Receiver<State>,
    reports: Arc<Reports>,
    voices: Weak<Mutex<Voices>>,
    settling: watch::Sender<bool>,
) {
    loop {
        let state = states.borrow_and_update().clone();
        match state {
            State::Loading { .. } => reports.down(),
            State::Ready(description) => {
                reports.loaded(&description);
                // Conversations that it still holds keep it for themselves.
                let before = voices.upgrade().and_then(|voices| lock(&voices).stand_in.take());
                if let Some(before) = before {
                    before.reports.retire();
                    reports.speak();
                }
                settling.send_replace(true);
            }
            State::Failed(reason) => {
                reports.down();
                let stands_in = voices.upgrade().is_some_and(|voices| lock(&voices).stand_in.is_some());
                let model = reports.model();
                if stands_in {
                    tracing::error!(%model, reason, "the changed model cannot be loaded; the last good one stays");
                } else {
                    tracing::error!(%model, reason, "there is no model; its tool refuses");
                }
                settling.send_replace(true);
            }
            State::Stopped => reports.down(),
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chat").field(&self.name).finish()
    }
}

impl Backend for Chat {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn model_since(&self) -> Option<SystemTime> {
        Some(self.since)
    }

    fn known_tools(&self, _: Capabilities) -> Option<Arc<ToolList>> {
        Some(Arc::clone(&self.tools))
    }

    fn tools(&self, _: Capabilities, _: Instant) -> BoxFuture<'_, Result<Arc<ToolList>, UpstreamFailure>> {
        Box::pin(async { Ok(Arc::clone(&self.tools)) })
    }

    fn find<'a>(
        &'a self,
        full_name: &'a str,
        _: Capabilities,
        _: Instant,
    ) -> BoxFuture<'a, Result<Option<Arc<Tool>>, UpstreamFailure>> {
        Box::pin(async { Ok(self.tools.get(full_name).cloned()) })
    }

    fn call(self: Arc<Self>, request: Box<McpRequest>, _tool: Callee) -> BoxFuture<'static, Result<Answer, Rejection>> {
        Box::pin(self.converse(request))
    }

    fn session_ended(&self, _session: u128) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn retire(&self) {
        let unwanted = self.voices().retire();
        drop(unwanted);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.retire();
        let Voices { current, stand_in, .. } = std::mem::take(&mut *self.voices());
        Box::pin(async move {
            for voice in [current, stand_in].into_iter().flatten() {
                // Not while a successor has it answer, or a conversation: then
                // the last of them ends it by letting go.
                if Arc::strong_count(&voice) == 1 {
                    // The runtime is shutting down where it breaks off.
                    let _ = tokio::task::spawn_blocking(move || voice.model.end()).await;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
