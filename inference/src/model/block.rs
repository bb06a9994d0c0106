//! One layer: attention, then feed-forward, each around a residual.

use burn::tensor::Tensor;

use super::attention::{Attention, Batch, Run};
use super::cache::Cache;
use super::feed_forward::FeedForward;
use super::norm::RmsNorm;

/// One layer of the decoder.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: Attention,
    pub(crate) feed_forward_norm: RmsNorm,
    pub(crate) feed_forward: FeedForward,
}

impl Block {
    /// Consecutive tokens of one sequence: `[rows, hidden] → [rows, hidden]`.
    pub(super) fn prefill(&self, x: Tensor<2>, cache: &mut Cache, run: &Run) -> Tensor<2> {
        let normal = self.attention_norm.forward(x.clone());
        let x = x + self.attention.prefill(normal, cache, run);
        self.feed(x)
    }

    /// One token of each of several sequences: `[rows, hidden] → [rows, hidden]`.
    pub(super) fn decode(&self, x: Tensor<2>, cache: &mut Cache, batch: &Batch) -> Tensor<2> {
        let normal = self.attention_norm.forward(x.clone());
        let x = x + self.attention.decode(normal, cache, batch);
        self.feed(x)
    }

    fn feed(&self, x: Tensor<2>) -> Tensor<2> {
        let normal = self.feed_forward_norm.forward(x.clone());
        x + self.feed_forward.forward(normal)
    }
}
