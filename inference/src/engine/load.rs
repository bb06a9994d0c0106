//! A model coming into being, on the thread that will own it.

mod milestones;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tracing::info;

use super::forward::Forward;
use super::language::Language;
use super::shared::Shared;
use super::state::{Description, State};
use milestones::Milestones;

/// A model that can begin.
pub(crate) struct Loaded {
    /// What computes.
    pub(crate) forward: Box<dyn Forward>,
    /// What speaks.
    pub(crate) language: Arc<dyn Language>,
    /// What runs where.
    pub(crate) description: Description,
}

/// Hears how many bytes of how many have been read. Where it breaks, nobody
/// waits for the model any more, and loading it shall end.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Makes a model; called again after one that failed.
///
/// An error is for the operator.
pub(crate) trait Load: FnMut(Progress<'_>) -> Result<Loaded, String> + Send + 'static {}

impl<F: FnMut(Progress<'_>) -> Result<Loaded, String> + Send + 'static> Load for F {}

/// Loads once, and shows how far it is.
pub(super) fn attempt(shared: &Shared, load: &mut dyn Load) -> Result<Loaded, String> {
    let started = Instant::now();
    let mut milestones = Milestones::default();
    let mut progress = |done_bytes, total_bytes| {
        shared.set_state(State::Loading { done_bytes, total_bytes });
        let took = started.elapsed();
        if milestones.reached(done_bytes, total_bytes, took) {
            let took_ms = took.as_millis();
            info!(model = %shared.name, done_bytes, total_bytes, took_ms, "a model is being loaded");
        }
        if shared.queue.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // A load that failed half-way is dropped whole before the next begins.
    let outcome = catch_unwind(AssertUnwindSafe(|| load(&mut progress)));
    let loaded = outcome.unwrap_or_else(|_| Err("loading the model broke off".to_owned()))?;
    if loaded.forward.slots() == 0 || loaded.forward.context_length() == 0 {
        return Err("the model has no room for a conversation".to_owned());
    }
    Ok(loaded)
}
