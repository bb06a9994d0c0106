//! What a caller is told where a model gives no answer.

use std::sync::Arc;
use std::time::Duration;

use portcullis_inference::engine::ChatError;

use crate::metrics::CallStatus;
use crate::rejection::{Rejection, UpstreamFailure, UpstreamFailureKind};

/// When a conversation that took too long is worth another try.
const TIMEOUT_RETRY: Duration = Duration::from_secs(1);

/// A conversation without an answer, in everybody's words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// The caller's.
    pub(super) rejection: Rejection,
    /// Those of the call's metrics.
    pub(super) status: CallStatus,
    /// Those of the model's metrics.
    pub(super) outcome: &'static str,
}

// === impl Refusal ===

impl Refusal {
    /// Why the model of this name does not answer.
    pub(super) fn of(error: ChatError, model: &Arc<str>) -> Self {
        let theirs = |rejection, outcome| Self { rejection, status: CallStatus::Error, outcome };
        let ours = |rejection, outcome| Self { rejection, status: CallStatus::UpstreamError, outcome };
        match error {
            ChatError::QueueFull { retry_after } => ours(Rejection::ModelBusy { retry_after }, "queue_full"),
            ChatError::Loading => ours(Rejection::ModelLoading, "loading"),
            ChatError::Unavailable => Self::unavailable(),
            ChatError::PromptTooLong { prompt_tokens, context_length } => {
                theirs(Rejection::PromptTooLong { prompt_tokens, context_length }, "prompt_too_long")
            }
            ChatError::Messages(reason) => Self::arguments(format!("argument `messages`: {reason}")),
            ChatError::DeadlineExceeded => ours(
                Rejection::Upstream(UpstreamFailure {
                    upstream: Arc::clone(model),
                    kind: UpstreamFailureKind::TimedOut,
                    retry_after: TIMEOUT_RETRY,
                }),
                "timed_out",
            ),
            ChatError::Failed => ours(Rejection::ModelFailed, "failed"),
        }
    }

    /// The arguments do not fit; `detail` names the one.
    pub(super) fn arguments(detail: String) -> Self {
        Self { rejection: Rejection::BadArguments { detail }, status: CallStatus::Error, outcome: "bad_arguments" }
    }

    /// There is no model.
    pub(super) fn unavailable() -> Self {
        Self { rejection: Rejection::ModelUnavailable, status: CallStatus::UpstreamError, outcome: "unavailable" }
    }

    /// The client waits no longer.
    pub(super) fn cancelled() -> Self {
        Self { rejection: Rejection::Cancelled, status: CallStatus::Error, outcome: "cancelled" }
    }
}
