//! An answer that tells when it is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Observer;
use crate::record::CallRecord;
use crate::telemetry::{AccessLine, scope};

/// What is counted when a client goes away before its answer begins: nginx's
/// word for it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One request under observation; its access line is written when this is dropped.
#[derive(Debug)]
pub(super) struct Observation {
    observer: Arc<Observer>,
    record: Arc<CallRecord>,
    method: &'static str,
    /// The route, never the path as it was written.
    path: &'static str,
    answer: Option<StatusCode>,
    bytes: u64,
}

pin_project! {
    /// The body of an observed answer.
    #[derive(Debug)]
    pub struct Observed<B> {
        #[pin]
        body: B,
        observation: Observation,
    }
}

// === impl Observation ===

impl Observation {
    pub(super) const fn begin(
        observer: Arc<Observer>,
        record: Arc<CallRecord>,
        method: &'static str,
        path: &'static str,
    ) -> Self {
        Self { observer, record, method, path, answer: None, bytes: 0 }
    }

    pub(super) const fn record(&self) -> &Arc<CallRecord> {
        &self.record
    }

    /// The answer's head is known.
    pub(super) fn answered(&mut self, status: StatusCode) {
        if self.observer.counts {
            self.observer.metrics.http_request(self.path, self.method, status);
        }
        self.answer = Some(status);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if self.answer.is_none() {
            let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("499 is within the range");
            self.answered(status);
        }
        let Some(status) = self.answer else { return };
        self.observer.access_log.write(
            &self.record,
            &AccessLine {
                method: self.method,
                path: self.path,
                status,
                duration: self.record.started.elapsed(),
                bytes: self.bytes,
            },
        );
    }
}

// === impl Observed ===

impl<B> Observed<B> {
    pub(super) const fn new(body: B, observation: Observation) -> Self {
        Self { body, observation }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Observed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(scope::within(&this.observation.record, || this.body.poll_frame(cx)));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.observation.bytes += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
