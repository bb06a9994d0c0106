//! The model as the engine sees it: slots of cache, and logits.

/// Tokens of a prompt that are computed at once, at most.
pub(crate) const MOST_TOKENS: usize = 256;

/// One token to compute for the sequence in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whose sequence.
    pub(crate) slot: usize,
    /// Where in it: the slot's cache holds everything before.
    pub(crate) position: usize,
    /// Which token.
    pub(crate) token: u32,
}

/// Computes logits, and keeps in each slot's cache what it has seen. A device
/// that fails panics; the engine then throws it away and makes another.
pub(crate) trait Forward {
    /// Sequences that can be kept at once.
    fn slots(&self) -> usize;

    /// Positions each of them has.
    fn context_length(&self) -> usize;

    /// Computes `tokens` at the positions `start..` of a slot whose cache holds
    /// everything before `start`; what it held from there on is forgotten.
    /// Returns the logits `[vocabulary]` after the last token where they are
    /// wanted, and in any case once the device is done: how long it took says
    /// how much may be asked of it at once.
    fn prefill(&mut self, slot: usize, start: usize, tokens: &[u32], wanted: bool) -> Option<Vec<f32>>;

    /// Computes one token for each of several slots, all different. Returns
    /// the logits `[vocabulary]` of each, in the same order.
    fn decode(&mut self, steps: &[Step]) -> Vec<Vec<f32>>;
}
