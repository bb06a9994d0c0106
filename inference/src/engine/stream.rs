//! The way of an answer from the engine's threads to the one who asked.
//!
//! Text that nobody has fetched yet is joined, not queued: a reader that stops
//! reading costs at most its own answer's text, and never holds up the thread
//! that writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::error::ChatError;
use super::queue::{Queue, Ticket};
use crate::chat::{ChatEvent, FinishReason, Usage};

/// The answer to one request, as it is made. Dropping it stops the generation.
#[derive(Debug)]
pub struct ChatStream {
    mailbox: Arc<Mailbox>,
    queue: Arc<Queue>,
    ticket: Ticket,
}

/// The writing end. Dropped without an end, it ends the answer as failed.
#[derive(Debug)]
pub(super) struct Outlet {
    mailbox: Arc<Mailbox>,
}

/// How an answer ended.
pub(super) type End = Result<(FinishReason, Usage), ChatError>;

#[derive(Debug, Default)]
struct Mailbox {
    content: Mutex<Content>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Content {
    /// Written and not fetched.
    text: String,
    /// Set once, by the writing end.
    end: Option<End>,
    /// The end has been fetched.
    is_read: bool,
    /// Nobody reads any more.
    is_unwanted: bool,
}

/// Makes the writing end of an answer, and what the reading end is made of.
pub(super) fn answer(queue: Arc<Queue>, ticket: Ticket) -> (Outlet, ChatStream) {
    let mailbox = Arc::new(Mailbox::default());
    (Outlet { mailbox: Arc::clone(&mailbox) }, ChatStream { mailbox, queue, ticket })
}

// === impl ChatStream ===

impl ChatStream {
    /// The next piece; `None` after [`ChatEvent::Finished`] or an error.
    ///
    /// Cancel safe: nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Result<ChatEvent, ChatError>> {
        loop {
            {
                let mut content = self.mailbox.lock();
                if content.is_read {
                    return None;
                }
                if !content.text.is_empty() {
                    return Some(Ok(ChatEvent::Text(std::mem::take(&mut content.text))));
                }
                if let Some(end) = content.end.clone() {
                    content.is_read = true;
                    return Some(end.map(|(reason, usage)| ChatEvent::Finished { reason, usage }));
                }
            }
            self.mailbox.news.notified().await;
        }
    }
}

impl Drop for ChatStream {
    fn drop(&mut self) {
        let mut content = self.mailbox.lock();
        content.is_unwanted = true;
        content.text = String::new();
        let has_ended = content.end.is_some();
        drop(content);
        if !has_ended {
            self.queue.forget(self.ticket);
        }
    }
}

// === impl Outlet ===

impl Outlet {
    /// Hands text on. Never waits.
    pub(super) fn write(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut content = self.mailbox.lock();
        if !content.is_unwanted && content.end.is_none() {
            content.text.push_str(text);
            drop(content);
            self.mailbox.news.notify_one();
        }
    }

    /// Ends the answer. The first end counts.
    pub(super) fn end(&self, end: End) {
        self.mailbox.end(end);
    }

    /// Nobody reads any more.
    pub(super) fn is_unwanted(&self) -> bool {
        self.mailbox.lock().is_unwanted
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.mailbox.end(Err(ChatError::Failed));
    }
}

// === impl Mailbox ===

impl Mailbox {
    fn end(&self, end: End) {
        let mut content = self.lock();
        if content.end.is_none() {
            content.end = Some(end);
            drop(content);
            self.news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
