//! Logits to the next token.
//!
//! In the order that `transformers` applies them: repetition penalty,
//! temperature, top-k, top-p, min-p; then one of the tokens that are left is
//! drawn by its probability. Top-p and min-p look at probabilities among what
//! top-k left. At temperature 0 the likeliest token is taken after the
//! repetition penalty alone.
//!
//! A vocabulary has up to 150,000 tokens, and this runs once for each token of
//! each conversation: the whole is looked over a few times, never sorted.

mod candidates;
mod random;

use self::candidates::Candidates;
use self::random::Random;
use crate::chat::Sampling;

/// The logits hold no number to choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model computed no usable logits")]
pub(crate) struct NoLogits;

/// Chooses tokens for one answer.
#[derive(Debug)]
pub(crate) struct Sampler {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
    random: Random,
    candidates: Candidates,
    penalised: Vec<bool>,
}

// === impl Sampler ===

impl Sampler {
    /// What `asked` leaves open is as `defaults` say, else 1 for the
    /// temperature and no restriction. Values outside their range do the
    /// nearest thing: a negative temperature is 0, a top-p above 1 is 1. The
    /// same `seed` and logits make the same choices.
    pub(crate) fn new(asked: &Sampling, defaults: &Sampling, seed: u64) -> Self {
        let number = |asked: Option<f32>, default: Option<f32>, usual: f32| {
            let finite = |number: &f32| number.is_finite();
            asked.filter(finite).or(default.filter(finite)).unwrap_or(usual)
        };
        let penalty = number(asked.repetition_penalty, defaults.repetition_penalty, 1.0);
        Self {
            temperature: number(asked.temperature, defaults.temperature, 1.0).max(0.0),
            top_k: asked.top_k.or(defaults.top_k).unwrap_or(0),
            top_p: number(asked.top_p, defaults.top_p, 1.0).clamp(0.0, 1.0),
            min_p: number(asked.min_p, defaults.min_p, 0.0).clamp(0.0, 1.0),
            repetition_penalty: if penalty > 0.0 { penalty } else { 1.0 },
            random: Random::new(seed),
            candidates: Candidates::default(),
            penalised: Vec::new(),
        }
    }

    /// The next token after `history`, prompt and answer so far, given the
    /// logits `[vocabulary]`, which are changed on the way.
    ///
    /// # Errors
    ///
    /// When no logit is a number above minus infinity.
    pub(crate) fn next(&mut self, logits: &mut [f32], history: &[u32]) -> Result<u32, NoLogits> {
        self.penalise(logits, history);
        let likeliest = likeliest(logits).ok_or(NoLogits)?;
        let top = logits[likeliest];
        // Infinitely likelier than all others; and no number to divide by.
        if self.temperature == 0.0 || self.top_k == 1 || top == f32::INFINITY {
            return Ok(identifier(likeliest));
        }
        let most = if self.top_k > 0 { self.top_k } else { usize::MAX };
        self.candidates.fill(logits, top, self.temperature, most);
        if self.top_p < 1.0 {
            self.candidates.keep_probability(self.top_p);
        }
        if self.min_p > 0.0 {
            self.candidates.keep_above(self.min_p);
        }
        Ok(self.candidates.draw(self.random.fraction()).unwrap_or(identifier(likeliest)))
    }

    /// Makes tokens that were seen before less likely, each once.
    fn penalise(&mut self, logits: &mut [f32], history: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        self.penalised.clear();
        self.penalised.resize(logits.len(), false);
        for &token in history {
            let token = token as usize;
            let Some(logit) = logits.get_mut(token) else { continue };
            if std::mem::replace(&mut self.penalised[token], true) {
                continue;
            }
            *logit = if *logit > 0.0 { *logit / self.repetition_penalty } else { *logit * self.repetition_penalty };
        }
    }
}

/// The first index of the largest logit; what is not a number counts as
/// minus infinity.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let mut best = None;
    let mut top = f32::NEG_INFINITY;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > top {
            top = logit;
            best = Some(index);
        }
    }
    best
}

fn identifier(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
