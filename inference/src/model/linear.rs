//! A matrix of weights, in the form its device computes fastest with.

use burn::tensor::Tensor;

/// `x · W + b`
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Weight,
    /// `[out]`
    bias: Option<Tensor<1>>,
}

/// The matrix itself.
#[derive(Debug)]
enum Weight {
    /// `[in, out]`: floating-point numbers, or what Burn quantised.
    Dense(Tensor<2>),
}

impl Linear {
    /// From `[in, out]` and `[out]`.
    pub(crate) fn dense(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self { weight: Weight::Dense(weight), bias }
    }

    /// `[rows, in] → [rows, out]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = match &self.weight {
            Weight::Dense(weight) => x.matmul(weight.clone()),
        };
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        }
    }
}
