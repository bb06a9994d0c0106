//! Root mean square normalisation (Zhang and Sennrich 2019, §4).

use burn::tensor::{DType, Tensor};

#[cfg(feature = "cpu")]
use super::host;

/// `x / sqrt(mean(x²) + ε) · weight` over the last dimension.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `[features]`
    weight: Tensor<1>,
    epsilon: f64,
    /// Whether it is computed by the kernels of the CPU.
    on_host: bool,
}

impl RmsNorm {
    pub(crate) fn new(weight: Tensor<1>, epsilon: f64, on_host: bool) -> Self {
        Self { weight, epsilon, on_host }
    }

    /// `[…, features] → […, features]`. Squares are summed in single precision
    /// whatever the input is kept in: they overflow half precision.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        #[cfg(feature = "cpu")]
        if self.on_host {
            #[expect(clippy::cast_possible_truncation, reason = "it is a small number in either precision")]
            return host::rms_norm(x, self.weight.clone(), self.epsilon as f32);
        }
        let dtype = x.dtype();
        let wide = if dtype == DType::F32 { x } else { x.cast(DType::F32) };
        let scale = (wide.clone() * wide.clone()).mean_dim(D - 1).add_scalar(self.epsilon).sqrt().recip();
        let normal = wide * scale;
        let normal = if dtype == DType::F32 { normal } else { normal.cast(dtype) };
        normal * self.weight.clone().unsqueeze()
    }
}
