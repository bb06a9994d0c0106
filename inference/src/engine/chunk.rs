//! How much of a prompt is computed between two tokens of the others.

use std::time::Duration;

use super::forward::MOST_TOKENS;

/// No fewer: smaller pieces waste what a device can do at once.
const FEWEST: usize = 32;
/// How long those who already read their answers may be kept waiting.
const HICCUP: Duration = Duration::from_millis(250);

/// Suits the pieces of prompts to the speed of the device.
///
/// Sizes are powers of two, so a device meets few shapes. Measures what the
/// device has done once [`Forward::prefill`](super::forward::Forward::prefill)
/// returns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunk {
    /// Of one token, measured on whole pieces.
    time: Option<Duration>,
}

// === impl Chunk ===

impl Chunk {
    /// How many tokens may be computed now, while others wait for their next
    /// token or not.
    pub(super) fn tokens(self, others_wait: bool) -> usize {
        match self.time {
            Some(time) if others_wait => {
                let fit = HICCUP.as_nanos() / time.as_nanos().max(1);
                let fit = usize::try_from(fit).unwrap_or(MOST_TOKENS).clamp(FEWEST, MOST_TOKENS);
                1 << fit.ilog2()
            }
            _ => MOST_TOKENS,
        }
    }

    /// Learns from a piece that was computed; small ones tell nothing.
    pub(super) fn took(&mut self, tokens: usize, time: Duration) {
        if let Some(tokens) = u32::try_from(tokens).ok().filter(|&tokens| tokens as usize >= FEWEST) {
            let time = time / tokens;
            self.time = Some(self.time.map_or(time, |mean| (mean * 3 + time) / 4));
        }
    }
}

/// How many of the `rest` tokens of a prompt are computed next, where this
/// round has room for `left`.
///
/// How a prompt is cut shows in the last bits of its logits, and so may change
/// what is drawn from them. Where that must come out the same again it is
/// `steady`: cut every [`MOST_TOKENS`] tokens, whatever the others wait for.
pub(super) fn piece(rest: usize, left: usize, steady: bool) -> usize {
    rest.min(if steady { MOST_TOKENS } else { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_device_takes_smaller_pieces_while_others_wait() {
        let mut chunk = Chunk::default();
        assert_eq!((chunk.tokens(true), chunk.tokens(false)), (MOST_TOKENS, MOST_TOKENS));
        chunk.took(256, Duration::from_millis(512));
        assert_eq!((chunk.tokens(true), chunk.tokens(false)), (64, MOST_TOKENS));
        for _ in 0..20 {
            chunk.took(64, Duration::from_secs(64));
        }
        assert_eq!(chunk.tokens(true), FEWEST);
    }

    #[test]
    fn a_steady_prompt_is_cut_at_the_same_places_always() {
        for left in [FEWEST, 100, MOST_TOKENS] {
            assert_eq!((piece(600, left, true), piece(600, left, false)), (MOST_TOKENS, left));
            assert_eq!((piece(20, left, true), piece(20, left, false)), (20, 20));
        }
    }

    #[test]
    fn a_fast_device_takes_whole_pieces() {
        let mut chunk = Chunk::default();
        chunk.took(256, Duration::ZERO);
        assert_eq!(chunk.tokens(true), MOST_TOKENS);
        // Too small to tell anything.
        chunk.took(1, Duration::from_secs(1));
        chunk.took(0, Duration::from_secs(1));
        assert_eq!(chunk.tokens(true), MOST_TOKENS);
    }
}
