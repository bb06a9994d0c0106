//! What an engine reports while it works.

use std::time::Duration;

/// Hears of each event. Called on the engine's threads and on those that submit
/// and drop conversations: must not block, nor call the engine.
pub trait Observer: Send + Sync + 'static {
    /// So many conversations are computed, and so many wait.
    fn requests(&self, running: usize, waiting: usize) {
        let _ = (running, waiting);
    }

    /// A prompt of so many tokens was taken, of which so many were still in
    /// the cache.
    fn prompt(&self, tokens: usize, cached: usize) {
        let _ = (tokens, cached);
    }

    /// The first token of an answer, so long after the request was submitted.
    fn first_token(&self, after: Duration) {
        let _ = after;
    }

    /// One step made a token for each of so many conversations, in so long.
    fn step(&self, batch: usize, took: Duration) {
        let _ = (batch, took);
    }

    /// An answer ended or broke off after so many tokens, so long after the
    /// request was submitted.
    fn finished(&self, tokens: usize, after: Duration) {
        let _ = (tokens, after);
    }

    /// So many of so many token positions of the cache hold something.
    fn cache(&self, used: usize, capacity: usize) {
        let _ = (used, capacity);
    }

    /// The computation failed and the engine starts again.
    fn restarted(&self) {}
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
