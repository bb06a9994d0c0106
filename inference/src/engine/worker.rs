//! The thread that owns a model and its device.
//!
//! It loads the model, answers until the engine is shut down, and starts over
//! with a new one where the computation fails: a device that broke down once is
//! not asked again. Everything else of the engine speaks to it through the
//! queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::backoff::Backoff;
use super::batch::{Batch, Fault};
use super::error::ChatError;
use super::forward::Forward;
use super::load::{self, Load, Loaded};
use super::sequence::Ended;
use super::shared::{Shared, Text};
use super::state::State;

/// Lives until the queue is closed, or the first load fails.
pub(super) fn run(shared: &Shared, load: &mut dyn Load, mut backoff: Backoff) {
    let mut is_first = true;
    while !shared.queue.is_closed() {
        let started = Instant::now();
        let loaded = load::attempt(shared, load);
        if shared.queue.is_closed() {
            debug!(model = %shared.name, "a load was broken off: nobody waits for the model");
            return;
        }
        match loaded {
            Ok(loaded) => {
                is_first = false;
                let forward = open(shared, loaded, started);
                if serve(shared, forward, &mut backoff).is_ok() {
                    return;
                }
            }
            Err(reason) if is_first => {
                shared.close(State::Failed(reason));
                return;
            }
            Err(reason) => {
                error!(model = %shared.name, %reason, "a model could not be loaded again");
                shared.queue.clear(&ChatError::Failed);
            }
        }
        let pause = backoff.failed();
        warn!(model = %shared.name, pause_ms = pause.as_millis(), "a model starts again");
        shared.queue.pause(pause);
    }
}

/// Lets conversations in.
fn open(shared: &Shared, loaded: Loaded, started: Instant) -> Box<dyn Forward> {
    let Loaded { forward, language, description } = loaded;
    info!(model = %shared.name, took_ms = started.elapsed().as_millis(), "a model is loaded");
    shared.queue.set_slots(forward.slots());
    shared.set_text(Text { language, context_length: forward.context_length() });
    shared.set_state(State::Ready(description));
    forward
}

/// Answers until the queue is closed.
///
/// # Errors
///
/// When the computation fails. The model is gone, and so are the
/// conversations that ran; those that wait go on waiting.
fn serve(shared: &Shared, mut forward: Box<dyn Forward>, backoff: &mut Backoff) -> Result<(), Fault> {
    let observer = &*shared.observer;
    let mut batch = Batch::new(&*forward);
    batch.report(observer);
    let outcome = loop {
        let is_open = if batch.is_empty() { shared.queue.wait() } else { !shared.queue.is_closed() };
        if !is_open {
            batch.fail(&ChatError::Unavailable);
            break Ok(());
        }
        while batch.has_room() {
            let Some(conversation) = shared.queue.take() else { break };
            batch.join(conversation, observer);
        }
        if let Err(fault) = batch.round(&mut *forward, observer) {
            batch.fail(&ChatError::Failed);
            break Err(fault);
        }
        let ended = batch.leave();
        if ended.iter().any(|one| one.took.is_some()) {
            backoff.worked();
        }
        part(shared, ended);
    };
    if outcome.is_err() {
        error!(model = %shared.name, conversations = batch.len(), "a model failed while it computed");
        shared.set_state(State::NOTHING_LOADED);
        observer.restarted();
    }
    part(shared, batch.leave());
    // What failed may fail once more as it goes.
    drop(catch_unwind(AssertUnwindSafe(|| drop(forward))));
    outcome
}

/// Tells those whose conversations ended, once their places are free.
fn part(shared: &Shared, ended: Vec<Ended>) {
    for one in ended {
        shared.queue.ended(one.took);
        shared.observer.finished(one.usage.completion_tokens, one.submitted.elapsed());
        one.tell();
    }
}
