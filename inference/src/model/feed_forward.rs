//! The gated feed-forward layer (SwiGLU; Shazeer 2020).

use burn::tensor::{Tensor, activation};

#[cfg(feature = "cpu")]
use super::host;
use super::linear::Linear;

/// `down(silu(gate(x)) · up(x))`
#[derive(Debug)]
pub(crate) struct FeedForward {
    /// Gate and up beside each other: `[hidden, 2 · intermediate]`.
    pub(crate) gate_up: Linear,
    /// `[intermediate, hidden]`
    pub(crate) down: Linear,
}

impl FeedForward {
    /// `[rows, hidden] → [rows, hidden]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let both = self.gate_up.forward(x);
        #[cfg(feature = "cpu")]
        if self.down.on_host() {
            return self.down.forward(host::gate(both));
        }
        let [rows, width] = both.dims();
        let gate = both.clone().slice([0..rows, 0..width / 2]);
        let up = both.slice([0..rows, width / 2..width]);
        self.down.forward(activation::silu(gate) * up)
    }
}
