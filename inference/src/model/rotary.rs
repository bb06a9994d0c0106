//! Rotary position embedding (Su et al. 2021), in the layout of Hugging Face's
//! checkpoints: a feature is rotated with the one half a head further on, not
//! with its neighbour.

use std::ops::Range;

use burn::tensor::{DType, Int, Tensor, TensorData};

#[cfg(feature = "cpu")]
use super::host;
use crate::device::Placement;

/// Cosines and sines for every position of the context.
#[derive(Debug)]
pub(crate) struct Rotary {
    /// `[context_length, 1, head_dim / 2]`
    cosines: Tensor<3>,
    /// As `cosines`.
    sines: Tensor<3>,
    /// Whether it is used by the kernels of the CPU.
    on_host: bool,
}

/// The rows of the table for one batch of tokens.
#[derive(Clone, Debug)]
pub(crate) struct RotaryRows {
    /// `[rows, 1, head_dim / 2]`
    cosines: Tensor<3>,
    /// As `cosines`.
    sines: Tensor<3>,
    /// Whether they are used by the kernels of the CPU.
    on_host: bool,
}

// === impl Rotary ===

impl Rotary {
    /// Makes the table from the inverse frequencies `[head_dim / 2]`;
    /// `magnitude` scales queries and keys (YaRN; Peng et al. 2023, §3.4).
    pub(crate) fn new(
        inverse_frequencies: &[f32],
        magnitude: f32,
        context_length: usize,
        placement: &Placement,
        dtype: DType,
    ) -> Self {
        let device = &placement.device;
        let half = inverse_frequencies.len();
        let table = |function: fn(f32) -> f32| {
            let mut values = Vec::with_capacity(context_length * half);
            for position in 0..context_length {
                // Single precision on purpose: the models were trained so.
                #[expect(clippy::cast_precision_loss, reason = "positions are far below 2^24")]
                values.extend(inverse_frequencies.iter().map(|f| function(position as f32 * f) * magnitude));
            }
            Tensor::from_data(TensorData::new(values, [context_length, 1, half]), (device, dtype))
        };
        Self { cosines: table(f32::cos), sines: table(f32::sin), on_host: placement.host }
    }

    /// For consecutive positions.
    pub(crate) fn range(&self, positions: Range<usize>) -> RotaryRows {
        let rows = |table: &Tensor<3>| table.clone().slice([positions.clone()]);
        RotaryRows { cosines: rows(&self.cosines), sines: rows(&self.sines), on_host: self.on_host }
    }

    /// For any positions: `[rows]`.
    pub(crate) fn select(&self, positions: &Tensor<1, Int>) -> RotaryRows {
        let rows = |table: &Tensor<3>| table.clone().select(0, positions.clone());
        RotaryRows { cosines: rows(&self.cosines), sines: rows(&self.sines), on_host: self.on_host }
    }
}

// === impl RotaryRows ===

impl RotaryRows {
    /// Rotates queries or keys: `[rows, heads, head_dim] → [rows, heads, head_dim]`.
    pub(crate) fn rotate(&self, x: Tensor<3>) -> Tensor<3> {
        #[cfg(feature = "cpu")]
        if self.on_host {
            return host::rotate(x, self.cosines.clone(), self.sines.clone());
        }
        let [rows, heads, head_dim] = x.dims();
        let half = head_dim / 2;
        let first = x.clone().slice([0..rows, 0..heads, 0..half]);
        let second = x.slice([0..rows, 0..heads, half..head_dim]);
        let (cosines, sines) = (&self.cosines, &self.sines);
        Tensor::cat(
            vec![
                first.clone() * cosines.clone() - second.clone() * sines.clone(),
                second * cosines.clone() + first * sines.clone(),
            ],
            2,
        )
    }
}
