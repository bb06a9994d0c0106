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
    /// The `most` likeliest tokens; of equals, those with the lower id. `top`
    /// is the largest logit.
    pub(super) fn fill(&mut self, logits: &[f32], top: f32, temperature: f32, most: usize) {
        self.tokens.clear();
        if most < logits.len() {
            self.select(logits, most);
        } else {
            self.tokens.extend((0_u32..).zip(logits.iter().copied()));
        }
        for (_, logit) in &mut self.tokens {
            *logit = ((*logit - top) / temperature).exp();
        }
        // Not a number is not greater than 0.
        self.tokens.retain(|(_, weight)| *weight > 0.0);
    }

    /// Takes the `most` largest logits in one pass: nearly every logit is only
    /// compared with the least that can still be among them.
    fn select(&mut self, logits: &[f32], most: usize) {
        let mut least = f32::NEG_INFINITY;
        for (token, &logit) in (0_u32..).zip(logits) {
            // A later equal has a higher id; not a number is not greater.
            if logit > least {
                self.tokens.push((token, logit));
                if self.tokens.len() >= most.saturating_mul(2) {
                    least = self.cut(most);
                }
            }
        }
        self.cut(most);
        // An order that no library's way of selecting changes: drawing depends on it.
        self.tokens.sort_unstable_by_key(|(token, _)| *token);
    }

    /// Keeps the `most` largest and returns the least of them.
    fn cut(&mut self, most: usize) -> f32 {
        if most < self.tokens.len() {
            self.tokens.select_nth_unstable_by(most, likelier);
            self.tokens.truncate(most);
        }
        self.tokens.iter().map(|(_, logit)| *logit).fold(f32::INFINITY, f32::min)
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
