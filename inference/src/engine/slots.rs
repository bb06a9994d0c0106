//! Which conversation is computed in which slot of the cache.

use std::cmp::Reverse;

/// The slots of a model's cache, and what each of them holds.
///
/// A slot that comes free keeps what it holds: a conversation that goes on
/// from there computes only what is new. That only holds within one
/// [scope](crate::chat::ChatRequest::scope): how soon a prompt is computed
/// would otherwise tell whether somebody else had begun alike.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Counts uses; the smallest is the longest ago.
    clock: u64,
}

#[derive(Debug, Default)]
struct Slot {
    is_taken: bool,
    /// The tokens whose keys and values the cache holds; while it is taken,
    /// the conversation knows them.
    kept: Vec<u32>,
    /// Whose they are.
    scope: u64,
    used: u64,
}

/// A slot that was given to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// Its number, as in [`Step::slot`](super::forward::Step::slot).
    pub(super) slot: usize,
    /// Tokens at the start of the prompt that the cache holds already.
    pub(super) cached: usize,
}

// === impl Slots ===

impl Slots {
    /// So many empty slots.
    pub(super) fn new(count: usize) -> Self {
        Self { slots: (0..count).map(|_| Slot::default()).collect(), clock: 0 }
    }

    /// True while one is free.
    pub(super) fn has_free(&self) -> bool {
        self.slots.iter().any(|slot| !slot.is_taken)
    }

    /// Tokens kept in slots that are free.
    pub(super) fn kept(&self) -> usize {
        self.slots.iter().map(|slot| slot.kept.len()).sum()
    }

    /// Takes a slot for a prompt, or what of it may come from the cache; `None`
    /// where none is free.
    ///
    /// That with the longest common prefix, if at least half of what it keeps
    /// is of use. All prompts start alike, and a few tokens are no reason to
    /// throw away somebody's long conversation: then it is the one whose last
    /// use is the longest ago. The last token of a prompt is never taken from
    /// the cache, for its logits are wanted.
    pub(super) fn take(&mut self, scope: u64, prompt: &[u32]) -> Option<Lease> {
        let (slot, cached) = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| !slot.is_taken)
            .map(|(index, slot)| (index, slot.common(scope, prompt)))
            .max_by_key(|&(index, common)| {
                let slot = &self.slots[index];
                let worth = if common * 2 >= slot.kept.len() { common } else { 0 };
                (worth, Reverse((slot.used, index)))
            })?;
        self.clock += 1;
        let taken = &mut self.slots[slot];
        *taken = Slot { is_taken: true, kept: Vec::new(), scope, used: self.clock };
        Some(Lease { slot, cached })
    }

    /// Takes a slot back, whose cache now holds these tokens.
    pub(super) fn give_back(&mut self, slot: usize, kept: Vec<u32>) {
        self.clock += 1;
        let free = &mut self.slots[slot];
        *free = Slot { is_taken: false, kept, scope: free.scope, used: self.clock };
    }
}

// === impl Slot ===

impl Slot {
    /// How much of a prompt it spares computing.
    fn common(&self, scope: u64, prompt: &[u32]) -> usize {
        if self.scope != scope {
            return 0;
        }
        let most = prompt.len().saturating_sub(1);
        self.kept.iter().zip(&prompt[..most]).take_while(|(kept, token)| kept == token).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: [u32; 6] = [1, 2, 3, 4, 5, 6];
    const ME: u64 = 1;

    #[test]
    fn the_longest_common_prefix_is_continued() {
        let mut slots = Slots::new(3);
        for prompt in [&[1, 2][..], &LONG, &[9]] {
            let lease = slots.take(ME, prompt).unwrap();
            assert_eq!(lease.cached, 0);
        }
        assert!(!slots.has_free());
        assert_eq!(slots.take(ME, &LONG), None);
        slots.give_back(0, vec![1, 2]);
        slots.give_back(1, LONG.to_vec());
        slots.give_back(2, vec![9]);
        assert_eq!(slots.kept(), 9);
        assert_eq!(slots.take(ME, &[1, 2, 3, 4, 5, 6, 7]), Some(Lease { slot: 1, cached: 6 }));
        assert_eq!(slots.kept(), 3);
    }

    #[test]
    fn the_last_token_of_a_prompt_is_always_computed() {
        let mut slots = Slots::new(1);
        slots.take(ME, &LONG).unwrap();
        slots.give_back(0, LONG.to_vec());
        assert_eq!(slots.take(ME, &LONG), Some(Lease { slot: 0, cached: 5 }));
    }

    #[test]
    fn a_common_greeting_does_not_push_out_a_long_conversation() {
        let mut slots = Slots::new(2);
        slots.take(ME, &LONG).unwrap();
        slots.give_back(0, LONG.to_vec());
        assert_eq!(slots.take(ME, &[1, 2, 9]), Some(Lease { slot: 1, cached: 0 }));
        // Nothing else is free: what it shares is still of use.
        assert_eq!(slots.take(ME, &[1, 2, 9]), Some(Lease { slot: 0, cached: 2 }));
    }

    #[test]
    fn without_a_common_prefix_the_longest_unused_goes() {
        let mut slots = Slots::new(2);
        slots.take(ME, &[1]).unwrap();
        slots.take(ME, &[2]).unwrap();
        slots.give_back(1, vec![2]);
        slots.give_back(0, vec![1]);
        assert_eq!(slots.take(ME, &[3, 3]), Some(Lease { slot: 1, cached: 0 }));
    }

    #[test]
    fn an_empty_prompt_takes_a_slot_too() {
        assert_eq!(Slots::new(1).take(ME, &[]), Some(Lease { slot: 0, cached: 0 }));
    }

    #[test]
    fn another_scope_shares_nothing() {
        let mut slots = Slots::new(2);
        slots.take(ME, &LONG).unwrap();
        slots.give_back(0, LONG.to_vec());
        assert_eq!(slots.take(ME + 1, &LONG), Some(Lease { slot: 1, cached: 0 }));
        // Nothing else is free: it is overwritten from the start.
        assert_eq!(slots.take(ME + 1, &LONG), Some(Lease { slot: 0, cached: 0 }));
        slots.give_back(0, LONG.to_vec());
        slots.give_back(1, LONG.to_vec());
        assert_eq!(slots.take(ME, &LONG).unwrap().cached, 0);
        assert_eq!(slots.take(ME + 1, &LONG).unwrap().cached, 5);
    }
}
