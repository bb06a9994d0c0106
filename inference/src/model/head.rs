//! From the last hidden state to logits.

use burn::tensor::Tensor;

/// Scores every token of the vocabulary. It sees a row per sequence, never a
/// whole prompt, so its matrix keeps the layout of the checkpoint, which is
/// the embedding's own where the two are tied.
#[derive(Debug)]
pub(crate) struct Head {
    /// `[vocabulary, hidden]`
    weight: Tensor<2>,
}

impl Head {
    pub(crate) fn new(weight: Tensor<2>) -> Self {
        Self { weight }
    }

    /// `[rows, hidden] → [rows, vocabulary]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.clone().transpose())
    }
}
