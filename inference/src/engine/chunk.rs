//! How much of a prompt is computed between two tokens of the others.

use std::time::Duration;

/// Prompt tokens that are computed at once, at most.
pub(super) const MOST: usize = 256;
/// No fewer: smaller pieces waste what a device can do at once.
const FEWEST: usize = 32;
/// How long those who already read their answers may be kept waiting.
const HICCUP: Duration = Duration::from_millis(250);

/// Suits the pieces of prompts to the speed of the device.
///
/// Sizes are powers of two, so a device meets few shapes.
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
                let fit = usize::try_from(fit).unwrap_or(MOST).clamp(FEWEST, MOST);
                1 << fit.ilog2()
            }
            _ => MOST,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_device_takes_smaller_pieces_while_others_wait() {
        let mut chunk = Chunk::default();
        assert_eq!((chunk.tokens(true), chunk.tokens(false)), (MOST, MOST));
        chunk.took(256, Duration::from_millis(512));
        assert_eq!((chunk.tokens(true), chunk.tokens(false)), (64, MOST));
        for _ in 0..20 {
            chunk.took(64, Duration::from_secs(64));
        }
        assert_eq!(chunk.tokens(true), FEWEST);
    }

    #[test]
    fn a_fast_device_takes_whole_pieces() {
        let mut chunk = Chunk::default();
        chunk.took(256, Duration::ZERO);
        assert_eq!(chunk.tokens(true), MOST);
        // Too small to tell anything.
        chunk.took(1, Duration::from_secs(1));
        chunk.took(0, Duration::from_secs(1));
        assert_eq!(chunk.tokens(true), MOST);
    }
}
