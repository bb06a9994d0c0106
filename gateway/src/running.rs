//! How many requests are running, all configurations together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts requests from their admission until their answer is gone.
#[derive(Debug, Default)]
pub struct Running {
    requests: AtomicUsize,
    none_left: Notify,
}

/// One request's room; dropping it gives it back.
#[derive(Debug)]
pub struct Room(Arc<Running>);

// === impl Running ===

impl Running {
    /// Takes up room for a request if fewer than `max` are running.
    #[must_use]
    pub fn admit(self: &Arc<Self>, max: usize) -> Option<Room> {
        let room = Room(Arc::clone(self));
        // Counted first, so that two cannot both be the last.
        (self.requests.fetch_add(1, Ordering::AcqRel) < max).then_some(room)
    }

    /// Returns once nothing is running.
    pub async fn ended(&self) {
        loop {
            let none_left = self.none_left.notified();
            if self.requests.load(Ordering::Acquire) == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_when_the_last_room_is_given_back() {
        let running = Arc::new(Running::default());
        running.ended().await;
        let room = running.admit(1).unwrap();
        assert!(running.admit(1).is_none());
        let waiting = tokio::spawn({
            let running = Arc::clone(&running);
            async move { running.ended().await }
        });
        drop(room);
        waiting.await.unwrap();
        assert!(running.admit(1).is_some());
    }
}
