//! The angles of a rotary embedding.
//!
//! In f32 and in the order of transformers' `modeling_rope_utils.py`, so that
//! far positions turn by the same angle as there.

use std::f64::consts::TAU;

use super::rope::{Rope, RopeScaling};

// === impl Rope ===

impl Rope {
    /// By how much each pair of dimensions turns from one position to the next,
    /// `[head_dim / 2]`, and what cosines and sines are multiplied by.
    #[must_use]
    pub fn inverse_frequencies(&self, head_dim: usize) -> (Vec<f32>, f32) {
        let plain = plain(self.theta, head_dim);
        match self.scaling {
            RopeScaling::None => (plain, 1.0),
            RopeScaling::Linear { factor } => (plain.into_iter().map(|one| one / factor as f32).collect(), 1.0),
            RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_positions } => {
                let (low, high) = (low_frequency_factor as f32, high_frequency_factor as f32);
                (llama3(plain, factor as f32, low, high, original_positions as f32), 1.0)
            }
            RopeScaling::Yarn { attention_factor, factor, magnitudes, .. } => {
                let suggested = || match magnitudes {
                    Some((numerator, denominator)) => magnitude(factor, numerator) / magnitude(factor, denominator),
                    None => magnitude(factor, 1.0),
                };
                (self.yarn(head_dim), attention_factor.unwrap_or_else(suggested) as f32)
            }
        }
    }

    fn yarn(&self, head_dim: usize) -> Vec<f32> {
        let RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_positions, .. } = self.scaling else {
            return Vec::new();
        };
        let (dimensions, original) = (head_dim as f64, original_positions as f64);
        // The dimension that makes so many rotations within the original context.
        let dimension = |rotations: f64| dimensions * (original / (rotations * TAU)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dimensions - 1.0));
        if low == high {
            high += 0.001;
        }
        let ramp = |index: usize| ((index as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
        let wavelengths = wavelengths(self.theta, head_dim).enumerate();
        wavelengths
            .map(|(index, wavelength)| {
                let kept = 1.0 - ramp(index);
                (1.0 / (factor as f32 * wavelength)) * (1.0 - kept) + (1.0 / wavelength) * kept
            })
            .collect()
    }
}

/// θ^(2i/d), over 2π.
fn wavelengths(theta: f64, head_dim: usize) -> impl Iterator<Item = f32> {
    (0..head_dim).step_by(2).map(move |index| (theta as f32).powf(index as f32 / head_dim as f32))
}

fn plain(theta: f64, head_dim: usize) -> Vec<f32> {
    wavelengths(theta, head_dim).map(|wavelength| 1.0 / wavelength).collect()
}

fn llama3(plain: Vec<f32>, factor: f32, low: f32, high: f32, original: f32) -> Vec<f32> {
    let stretch = |one: f32| {
        let wavelength = TAU as f32 / one;
        if wavelength > original / low {
            one / factor
        } else if wavelength < original / high {
            one
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            (1.0 - smooth) * one / factor + smooth * one
        }
    };
    plain.into_iter().map(stretch).collect()
}

/// The paper's 0.1 ln(s) + 1.
fn magnitude(scale: f64, weight: f64) -> f64 {
    if scale <= 1.0 { 1.0 } else { 0.1 * weight * scale.ln() + 1.0 }
}

#[cfg(test)]
mod tests;
