//! The threads that the kernels share their work among.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::priority;

/// One for the process, however many models it runs: more threads than
/// processors would only wait for each other.
static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();

/// Does `work` on the threads of the pool. They give way to the threads that
/// serve calls.
pub(crate) fn install<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match POOL.get_or_init(start) {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

fn start() -> Option<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .thread_name(|index| format!("kernels-{index}"))
        .start_handler(|_| priority::give_way())
        .build();
    pool.inspect_err(|error| tracing::warn!(%error, "the model computes on shared threads")).ok()
}
