use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn sampler(asked: &Sampling) -> Sampler {
    Sampler::new(asked, &Sampling::default(), 11)
}

/// How often each token is drawn in 20,000 tries, as a fraction.
fn drawn(asked: &Sampling, logits: &[f32]) -> BTreeMap<u32, f64> {
    let mut sampler = sampler(asked);
    let mut counts = BTreeMap::new();
    for _ in 0..20_000 {
        *counts.entry(sampler.next(&mut logits.to_vec(), &[]).unwrap()).or_insert(0.0) += 1.0 / 20_000.0;
    }
    counts
}

fn tokens(asked: &Sampling, logits: &[f32]) -> Vec<u32> {
    drawn(asked, logits).into_keys().collect()
}

/// Logits whose probabilities are these.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|probability| probability.ln()).collect()
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    let probabilities = [0.5, 0.0, 0.3, 0.15, 0.05];
    let counts = drawn(&Sampling::default(), &logits(&probabilities));
    for (token, probability) in (0..).zip(probabilities) {
        let count = counts.get(&token).copied().unwrap_or_default();
        assert!((count - f64::from(probability)).abs() < 0.01, "{counts:?}");
    }
}

#[test]
fn temperature_sharpens_and_flattens() {
    let logits = logits(&[0.8, 0.2]);
    // Probabilities go to the power of 1 / temperature.
    let sharp = drawn(&Sampling { temperature: Some(0.5), ..Sampling::default() }, &logits);
    assert!((sharp[&0] - 0.64 / 0.68).abs() < 0.01, "{sharp:?}");
    let flat = drawn(&Sampling { temperature: Some(2.0), ..Sampling::default() }, &logits);
    assert!((flat[&0] - 2.0 / 3.0).abs() < 0.01, "{flat:?}");
}

#[test]
fn temperature_0_takes_the_first_of_the_likeliest() {
    let asked = Sampling { temperature: Some(0.0), top_p: Some(0.1), ..Sampling::default() };
    assert_eq!(tokens(&asked, &[1.0, 3.0, 2.0, 3.0]), [1]);
}

#[test]
fn top_k_keeps_k_and_of_equals_the_lower_ids() {
    let asked = Sampling { top_k: Some(3), ..Sampling::default() };
    assert_eq!(tokens(&asked, &[0.0, 2.0, 1.0, 1.0, 1.0]), [1, 2, 3]);
    let all = Sampling { top_k: Some(0), ..Sampling::default() };
    assert_eq!(tokens(&all, &[0.0, 2.0, 1.0]), [0, 1, 2]);
}

#[test]
fn top_p_keeps_the_token_that_reaches_it() {
    let probabilities = logits(&[0.1, 0.5, 0.3, 0.1]);
    let keeps = |top_p| tokens(&Sampling { top_p: Some(top_p), ..Sampling::default() }, &probabilities);
    assert_eq!(keeps(0.0), [1]);
    assert_eq!(keeps(0.4), [1]);
    assert_eq!(keeps(0.7), [1, 2]);
    assert_eq!(keeps(0.85), [0, 1, 2]);
    assert_eq!(keeps(1.0), [0, 1, 2, 3]);
}

#[test]
fn top_p_counts_among_what_top_k_left() {
    // Of 0.4, 0.3, 0.2, 0.1 top-k leaves 4/7 and 3/7.
    let probabilities = logits(&[0.4, 0.3, 0.2, 0.1]);
    let asked = Sampling { top_k: Some(2), top_p: Some(0.5), ..Sampling::default() };
    assert_eq!(tokens(&asked, &probabilities), [0]);
}

#[test]
fn min_p_is_relative_to_the_likeliest() {
    let probabilities = logits(&[0.5, 0.3, 0.11, 0.09]);
    let asked = Sampling { min_p: Some(0.2), ..Sampling::default() };
    assert_eq!(tokens(&asked, &probabilities), [0, 1, 2]);
}

#[test]
fn a_seen_token_is_penalised_once() {
    let asked = Sampling { temperature: Some(0.0), repetition_penalty: Some(2.0), ..Sampling::default() };
    let mut logits = [4.0, 3.0, -1.0, f32::NEG_INFINITY];
    assert_eq!(sampler(&asked).next(&mut logits, &[0, 2, 0, 900]), Ok(1));
    assert_eq!(logits, [2.0, 3.0, -2.0, f32::NEG_INFINITY]);
}

#[test]
fn what_is_not_asked_is_as_the_checkpoint_says() {
    let defaults = Sampling { temperature: Some(0.0), top_k: Some(5), ..Sampling::default() };
    let sampler = Sampler::new(&Sampling { top_k: Some(7), ..Sampling::default() }, &defaults, 0);
    assert_eq!((sampler.temperature, sampler.top_k, sampler.top_p), (0.0, 7, 1.0));
}

#[test]
fn the_seed_determines_the_choices() {
    let choices = |seed| -> Vec<u32> {
        let mut sampler = Sampler::new(&Sampling::default(), &Sampling::default(), seed);
        std::iter::repeat_with(|| sampler.next(&mut [0.0; 50], &[]).unwrap()).take(40).collect()
    };
    assert_eq!(choices(5), choices(5));
    assert_ne!(choices(5), choices(6));
}

#[test]
fn logits_without_a_number_are_an_error() {
    for mut logits in [vec![], vec![f32::NAN; 3], vec![f32::NEG_INFINITY; 3], vec![f32::NAN, f32::NEG_INFINITY]] {
        assert_eq!(sampler(&Sampling::default()).next(&mut logits, &[]), Err(NoLogits));
    }
}

#[test]
fn what_is_not_a_number_is_never_chosen() {
    assert_eq!(tokens(&Sampling::default(), &[f32::NAN, 1.0, f32::NEG_INFINITY, 1.0]), [1, 3]);
    assert_eq!(tokens(&Sampling::default(), &[f32::NAN, 1.0, f32::INFINITY, f32::INFINITY]), [2]);
}

/// What the filters should leave, by sorting everything.
fn naively_left(asked: &Sampling, logits: &[f32]) -> BTreeSet<u32> {
    let mut sorted: Vec<(u32, f64)> = (0..).zip(logits.iter().map(|logit| f64::from(*logit).exp())).collect();
    sorted.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    if let Some(top_k) = asked.top_k.filter(|top_k| *top_k > 0) {
        sorted.truncate(top_k);
    }
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let top_p = f64::from(asked.top_p.unwrap_or(1.0)) * total;
    let mut sum = 0.0;
    let mut enough = false;
    sorted.retain(|(_, weight)| {
        let keep = !enough;
        sum += weight;
        enough = sum >= top_p;
        keep
    });
    let least = f64::from(asked.min_p.unwrap_or(0.0)) * sorted[0].1;
    sorted.into_iter().filter(|(_, weight)| *weight >= least).map(|(token, _)| token).collect()
}

proptest! {
    /// Logits on a coarse grid: many equals, and no sum that rounding decides.
    #[test]
    fn choices_are_among_what_sorting_would_leave(
        grid in prop::collection::vec(-40_i8..40, 1..400),
        top_k in prop::option::of(0_usize..300),
        top_p in prop::option::of(0.013_f32..0.99),
        min_p in prop::option::of(0.0_f32..0.5),
        seed: u64,
    ) {
        let logits: Vec<f32> = grid.iter().map(|step| f32::from(*step) * 0.173).collect();
        let asked = Sampling { top_k, top_p, min_p, ..Sampling::default() };
        let left = naively_left(&asked, &logits);
        let mut sampler = Sampler::new(&asked, &Sampling::default(), seed);
        for _ in 0..20 {
            let token = sampler.next(&mut logits.clone(), &[]).unwrap();
            prop_assert!(left.contains(&token), "{token} is not in {left:?}");
        }
    }
}
