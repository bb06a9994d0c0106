//! The tokens that may still come next, and how likely each is.

use std::cmp::Ordering;

/// How many of the likeliest are sorted at first where a probability is asked
/// for; nearly always enough.
const FIRST_SORTED: usize = 64;

/// Tokens with their weights: probabilities but for a common factor, where the
/// likeliest token weighs 1.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    tokens: Vec<(u32, f32)>,
}

// === impl Candidates ===

impl Candidates {
    /// All tokens whose weight is not 0, in order. `top` is the largest logit.
    pub(super) fn fill(&mut self, logits: &[f32], top: f32, temperature: f32) {
        let weight = |logit: f32| ((logit - top) / temperature).exp();
        let weighed = (0_u32..).zip(logits.iter().map(|&logit| weight(logit)));
        self.tokens.clear();
        // Not a number is not greater than 0.
        self.tokens.extend(weighed.filter(|(_, weight)| *weight > 0.0));
    }

    /// Only the `count` likeliest stay; of equals, those with the lower id.
    pub(super) fn keep_likeliest(&mut self, count: usize) {
        if count < self.tokens.len() {
            self.tokens.select_nth_unstable_by(count, likelier);
            self.tokens.truncate(count);
        }
    }

    /// Only the likeliest stay that together have this share of the weight; at
    /// least one.
    pub(super) fn keep_probability(&mut self, share: f32) {
        let wanted = self.total() * f64::from(share);
        let mut sorted = 0;
        let mut sum = 0.0;
        let mut block = FIRST_SORTED;
        while sorted < self.tokens.len() {
            let rest = &mut self.tokens[sorted..];
            let length = block.min(rest.len());
            if length < rest.len() {
                rest.select_nth_unstable_by(length, likelier);
            }
            rest[..length].sort_unstable_by(likelier);
            for (index, (_, weight)) in rest[..length].iter().enumerate() {
                sum += f64::from(*weight);
                if sum >= wanted {
                    self.tokens.truncate(sorted + index + 1);
                    return;
                }
            }
            sorted += length;
            block *= 4;
        }
    }

    /// Only tokens at least this fraction as likely as the likeliest stay.
    pub(super) fn keep_above(&mut self, fraction: f32) {
        self.tokens.retain(|(_, weight)| *weight >= fraction);
    }

    /// The token at this fraction, 0 to 1, of all the weight.
    pub(super) fn draw(&self, fraction: f64) -> Option<u32> {
        let mut left = self.total() * fraction;
        for (token, weight) in &self.tokens {
            left -= f64::from(*weight);
            if left < 0.0 {
                return Some(*token);
            }
        }
        // Rounding alone leads here.
        self.tokens.last().map(|(token, _)| *token)
    }

    fn total(&self) -> f64 {
        self.tokens.iter().map(|(_, weight)| f64::from(*weight)).sum()
    }
}

fn likelier(one: &(u32, f32), other: &(u32, f32)) -> Ordering {
    other.1.total_cmp(&one.1).then(one.0.cmp(&other.0))
}
