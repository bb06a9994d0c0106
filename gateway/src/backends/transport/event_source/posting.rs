//! Messages of ours, a POST each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use super::super::TransportError;
use super::super::pipe::Outlet;
use super::super::way::{JSON, Way, refusal};
use crate::body::Body;

/// How long a server may take to say that it has a message. Some say so only
/// when they have answered it, on the stream.
const POST_TIMEOUT: Duration = Duration::from_secs(60);
/// Messages that are posted at once; more wait for their turn.
const MAX_POSTS: usize = 256;
/// Answers of the pipe itself that wait to be sent, one after the other.
const MAX_ANSWERS: usize = 16;

/// Posts messages.
#[derive(Debug)]
pub(super) struct Posting {
    post: Arc<Post>,
    /// One for each message that may be posted at the moment.
    turns: Arc<Semaphore>,
    answers: mpsc::Sender<Bytes>,
}

#[derive(Debug)]
struct Post {
    way: Way,
    /// Told when the server no longer knows the stream.
    forgotten: Arc<Notify>,
}

// === impl Posting ===

impl Posting {
    /// Posts to `way`; `forgotten` is told when the server no longer knows
    /// whom it belongs to.
    pub(super) fn start(way: Way, forgotten: Arc<Notify>) -> Arc<Self> {
        let (answers, mut waiting) = mpsc::channel::<Bytes>(MAX_ANSWERS);
        let post = Arc::new(Post { way, forgotten });
        let posting = Arc::clone(&post);
        // Ends with the last sender.
        tokio::spawn(async move {
            while let Some(answer) = waiting.recv().await {
                if let Err(error) = posting.send(answer, HeaderMap::new()).await {
                    tracing::debug!(%error, "an answer to the upstream did not arrive");
                }
            }
        });
        Arc::new(Self { post, turns: Arc::new(Semaphore::new(MAX_POSTS)), answers })
    }
}

impl Outlet for Posting {
    fn send(
        &self,
        message: Bytes,
        _request: Option<u64>,
        headers: HeaderMap,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        let (post, turns) = (Arc::clone(&self.post), Arc::clone(&self.turns));
        Box::pin(async move {
            let turn = turns.acquire_owned().await;
            // In a task of its own: an answer that is quicker than the end of
            // the POST must not close the connection under the server.
            let sent = tokio::spawn(async move {
                let _turn = turn;
                post.send(message, headers).await
            })
            .await;
            sent.unwrap_or_else(|_| Err(TransportError::Disconnected("the gateway is ending".to_owned())))
        })
    }

    fn answer(&self, message: Bytes) -> bool {
        self.answers.try_send(message).is_ok()
    }
}

// === impl Post ===

impl Post {
    async fn send(&self, message: Bytes, mut headers: HeaderMap) -> Result<(), TransportError> {
        headers.insert(CONTENT_TYPE, JSON);
        let sending = self.way.send(Method::POST, headers, Body::from(message));
        let response = timeout(POST_TIMEOUT, sending).await.map_err(|_| TransportError::TimedOut)??;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.forgotten.notify_one();
                Err(TransportError::Reconnected)
            }
            status => Err(refusal(status, response.headers(), false)),
        }
    }
}
