//! The word that the process is to end, from the one who says it to all who wait.

use tokio::sync::watch;

/// Says when draining begins. Dropping it says so too.
#[derive(Debug)]
pub struct Drain(watch::Sender<bool>);

/// Hears when draining begins.
#[derive(Clone, Debug)]
pub struct DrainSignal(watch::Receiver<bool>);

// === impl Drain ===

impl Drain {
    /// A signal and its sender.
    #[must_use]
    pub fn new() -> (Self, DrainSignal) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), DrainSignal(receiver))
    }

    /// Begins draining.
    pub fn start(&self) {
        self.0.send_replace(true);
    }
}

// === impl DrainSignal ===

impl DrainSignal {
    /// Resolves when draining has begun, at once if it has.
    pub async fn started(&self) {
        // An error says that the sender is gone, and with it whoever runs the process.
        let _ = self.0.clone().wait_for(|started| *started).await;
    }

    /// Whether draining has begun.
    pub fn has_started(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn nobody_waits_once_draining_began() {
        let (drain, signal) = Drain::new();
        assert_eq!(signal.started().now_or_never(), None);
        drain.start();
        assert_eq!(signal.started().now_or_never(), Some(()));
        assert!(signal.has_started());
    }

    #[test]
    fn a_dropped_sender_begins_draining() {
        let (drain, signal) = Drain::new();
        drop(drain);
        assert_eq!(signal.started().now_or_never(), Some(()));
    }
}
