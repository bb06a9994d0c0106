//! Which request this thread is working on.
//!
//! A thread-local instead of a tracing span: it costs two counter updates per
//! poll where a span costs a registry entry per request, and it says all that
//! log lines need.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::record::CallRecord;

thread_local! {
    static CURRENT: RefCell<Option<Arc<CallRecord>>> = const { RefCell::new(None) };
}

/// Puts back what was current before.
struct Restore(Option<Arc<CallRecord>>);

pin_project! {
    /// A future that works on one request; see [`Scoped::new`].
    #[derive(Debug)]
    pub struct Scoped<F> {
        #[pin]
        future: F,
        record: Arc<CallRecord>,
    }
}

/// Runs `work` with log lines bearing the request's ids.
pub fn within<R>(record: &Arc<CallRecord>, work: impl FnOnce() -> R) -> R {
    let _restore = Restore(CURRENT.replace(Some(Arc::clone(record))));
    work()
}

/// The request this thread is working on.
pub fn current() -> Option<Arc<CallRecord>> {
    CURRENT.with_borrow(Clone::clone)
}

// === impl Restore ===

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

// === impl Scoped ===

impl<F> Scoped<F> {
    /// Lets the log lines of `future` bear the request's ids, also where it is
    /// spawned as a task of its own.
    pub const fn new(record: Arc<CallRecord>, future: F) -> Self {
        Self { future, record }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        within(this.record, || this.future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn record(id: &'static str) -> Arc<CallRecord> {
        Arc::new(CallRecord::new(HeaderValue::from_static(id), None))
    }

    fn current_id() -> Option<String> {
        current().map(|record| record.request_id().to_owned())
    }

    #[test]
    fn scopes_nest_and_end() {
        within(&record("outer"), || {
            within(&record("inner"), || assert_eq!(current_id().as_deref(), Some("inner")));
            assert_eq!(current_id().as_deref(), Some("outer"));
        });
        assert_eq!(current_id(), None);
    }

    #[test]
    fn a_panic_ends_its_scope() {
        let caught = std::panic::catch_unwind(|| within(&record("r"), || std::panic::resume_unwind(Box::new(()))));
        assert!(caught.is_err());
        assert_eq!(current_id(), None);
    }
}
