//! A model coming into being, on the thread that will own it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::forward::Forward;
use super::language::Language;
use super::shared::Shared;
use super::state::{Description, State};

/// A model that can begin.
pub(crate) struct Loaded {
    /// What computes.
    pub(crate) forward: Box<dyn Forward>,
    /// What speaks.
    pub(crate) language: Arc<dyn Language>,
    /// What runs where.
    pub(crate) description: Description,
}

/// Hears how many bytes of how many have been read.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Makes a model; called again after one that failed.
///
/// An error is for the operator.
pub(crate) trait Load: FnMut(Progress<'_>) -> Result<Loaded, String> + Send + 'static {}

impl<F: FnMut(Progress<'_>) -> Result<Loaded, String> + Send + 'static> Load for F {}

/// What a load is unwound with that nobody waits for any more.
struct Unwanted;

/// Loads once, and shows how far it is. Once the engine is closed it breaks off
/// with the next part that is read.
pub(super) fn attempt(shared: &Shared, load: &mut dyn Load) -> Result<Loaded, String> {
    let mut progress = |done_bytes, total_bytes| {
        if shared.queue.is_closed() {
            // No panic: nothing went wrong, and nobody shall read of it.
            resume_unwind(Box::new(Unwanted));
        }
        shared.set_state(State::Loading { done_bytes, total_bytes });
    };
    // A load that failed half-way is dropped whole before the next begins.
    let outcome = catch_unwind(AssertUnwindSafe(|| load(&mut progress)));
    let loaded = outcome.unwrap_or_else(|_| Err("loading the model broke off".to_owned()))?;
    if loaded.forward.slots() == 0 || loaded.forward.context_length() == 0 {
        return Err("the model has no room for a conversation".to_owned());
    }
    Ok(loaded)
}
