//! Root mean square normalisation (Zhang and Sennrich 2019, §4).

use burn::tensor::{DType, Tensor};

/// `x / sqrt(mean(x²) + ε) · weight` over the last dimension.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `[features]`
    weight: Tensor<1>,
    epsilon: f64,
}

impl RmsNorm {
    pub(crate) fn new(weight: Tensor<1>, epsilon: f64) -> Self {
        Self { weight, epsilon }
    }

    /// `[…, features] → […, features]`. Squares are summed in single precision
    /// whatever the input is kept in: they overflow half precision.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        let wide = if dtype == DType::F32 { x } else { x.cast(DType::F32) };
        let scale = (wide.clone() * wide.clone()).mean_dim(D - 1).add_scalar(self.epsilon).sqrt().recip();
        let normal = wide * scale;
        let normal = if dtype == DType::F32 { normal } else { normal.cast(dtype) };
        normal * self.weight.clone().unsqueeze()
    }
}
