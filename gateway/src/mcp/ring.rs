//! The messages of one stream, numbered and bounded, so that they can be
//! handed over once more.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::streams::Streams;

/// Messages that one stream keeps.
pub(super) const MAX_EVENTS: usize = 256;
/// Bytes that they may have together.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 64;

/// There is no room for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what waits for the client is as much as is kept for one")]
pub struct Full;

/// A message of a stream, and its number there: from one on, in order.
pub(super) type Numbered = (u64, Bytes);

#[derive(Debug)]
pub(super) struct Ring {
    streams: Arc<Streams>,
    events: VecDeque<Numbered>,
    bytes: usize,
    last: u64,
}

// === impl Ring ===

impl Ring {
    /// Empty; its bytes count among those of all `streams`.
    pub(super) const fn new(streams: Arc<Streams>) -> Self {
        Self { streams, events: VecDeque::new(), bytes: 0, last: 0 }
    }

    /// The number of the newest message.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Takes in a message. Those with a number up to `spent` make room.
    pub(super) fn push(&mut self, message: Bytes, spent: u64) -> Result<u64, Full> {
        let size = message.len() + OVERHEAD;
        if size > MAX_BYTES {
            return Err(Full);
        }
        self.make_room(size, spent)?;
        self.add(message, size);
        Ok(self.last)
    }

    /// Takes in a message for which all others make room. It is kept if all
    /// streams together have room for it, however large it is by itself: the
    /// last one may be what its client waits for.
    pub(super) fn push_over(&mut self, message: Bytes) -> u64 {
        let size = message.len() + OVERHEAD;
        if self.make_room(size, u64::MAX).is_ok() {
            self.add(message, size);
        } else {
            self.last += 1;
        }
        self.last
    }

    /// The first message that is kept after that of this number.
    pub(super) fn after(&self, number: u64) -> Option<Numbered> {
        let index = self.events.partition_point(|(kept, _)| *kept <= number);
        self.events.get(index).cloned()
    }

    fn add(&mut self, message: Bytes, size: usize) {
        self.bytes += size;
        self.last += 1;
        self.events.push_back((self.last, message));
    }

    fn make_room(&mut self, size: usize, spent: u64) -> Result<(), Full> {
        while !self.events.is_empty() && (self.events.len() >= MAX_EVENTS || self.bytes + size > MAX_BYTES) {
            self.drop_oldest(spent)?;
        }
        while !self.streams.keep(size) {
            self.drop_oldest(spent)?;
        }
        Ok(())
    }

    fn drop_oldest(&mut self, spent: u64) -> Result<(), Full> {
        let (_, message) = self.events.pop_front_if(|(number, _)| *number <= spent).ok_or(Full)?;
        let size = message.len() + OVERHEAD;
        self.bytes -= size;
        self.streams.release(size);
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.streams.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::streams::MAX_KEPT_BYTES;

    fn ring() -> Ring {
        Ring::new(Arc::default())
    }

    #[test]
    fn messages_are_handed_over_in_order_as_often_as_asked() {
        let mut ring = ring();
        for (number, message) in [(1, "a"), (2, "b"), (3, "c")] {
            assert_eq!(ring.push(message.into(), 0), Ok(number));
        }
        for _ in 0..2 {
            assert_eq!(ring.after(0), Some((1, "a".into())));
            assert_eq!(ring.after(2), Some((3, "c".into())));
        }
        assert_eq!((ring.after(3), ring.after(u64::MAX)), (None, None));
    }

    #[test]
    fn only_what_was_spent_makes_room() {
        let mut ring = ring();
        for _ in 0..MAX_EVENTS {
            ring.push("x".into(), 0).unwrap();
        }
        assert_eq!(ring.push("y".into(), 0), Err(Full));
        assert_eq!(ring.push("y".into(), 1), Ok(257));
        assert_eq!(ring.push("z".into(), 1), Err(Full));
        assert_eq!(ring.after(0).unwrap().0, 2);
        assert_eq!(ring.events.len(), MAX_EVENTS);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ring = ring();
        let half = Bytes::from(vec![b'x'; MAX_BYTES / 2]);
        assert_eq!(ring.push(Bytes::from(vec![b'x'; MAX_BYTES]), u64::MAX), Err(Full));
        ring.push(half.clone(), 0).unwrap();
        assert_eq!(ring.push(half.clone(), 0), Err(Full));
        assert_eq!(ring.push_over(half), 2);
        assert_eq!((ring.events.len(), ring.after(0).unwrap().0), (1, 2));
        // The last one is kept alone.
        assert_eq!(ring.push_over(Bytes::from(vec![b'x'; 3 * MAX_BYTES])), 3);
        assert_eq!((ring.events.len(), ring.after(0).unwrap().0), (1, 3));
    }

    #[test]
    fn all_streams_together_are_bounded_and_what_is_gone_makes_room() {
        let streams = Arc::new(Streams::default());
        assert!(streams.keep(MAX_KEPT_BYTES - 2 * (OVERHEAD + 1)));
        let [mut one, mut other] = [(); 2].map(|()| Ring::new(Arc::clone(&streams)));
        one.push("a".into(), 0).unwrap();
        other.push("b".into(), 0).unwrap();
        assert_eq!(one.push("c".into(), 0), Err(Full));
        assert_eq!(one.push_over("c".into()), 2);
        assert_eq!(one.after(0), Some((2, "c".into())));
        drop(other);
        assert_eq!(one.push("d".into(), 0), Ok(3));
        drop(one);
        assert!(streams.keep(2 * (OVERHEAD + 1)));
        assert!(!streams.keep(1));
    }
}
