//! A matrix of weights, in the form its device computes fastest with.

#[cfg(feature = "cpu")]
use std::sync::Arc;

use burn::tensor::Tensor;

#[cfg(feature = "cpu")]
use super::host;
#[cfg(feature = "cpu")]
use crate::kernels;

/// `x · W + b`
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Matrix,
    /// `[out]`
    bias: Option<Tensor<1>>,
}

/// A matrix that rows are multiplied with.
#[derive(Clone, Debug)]
pub(crate) enum Matrix {
    /// `[in, out]`: floating-point numbers, or what Burn quantised.
    Device(Box<Tensor<2>>),
    /// For the kernels of the CPU.
    #[cfg(feature = "cpu")]
    Host(Arc<dyn kernels::Matrix>),
}

// === impl Linear ===

impl Linear {
    pub(crate) fn new(weight: Matrix, bias: Option<Tensor<1>>) -> Self {
        Self { weight, bias }
    }

    /// Whether it is computed by the kernels of the CPU.
    #[cfg(feature = "cpu")]
    pub(super) const fn on_host(&self) -> bool {
        matches!(self.weight, Matrix::Host(_))
    }

    /// `[rows, in] → [rows, out]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = self.weight.forward(x);
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        }
    }
}

// === impl Matrix ===

impl Matrix {
    /// `[rows, in] → [rows, out]`
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Device(weight) => x.matmul(weight.as_ref().clone()),
            #[cfg(feature = "cpu")]
            Self::Host(weight) => host::multiply(x, Arc::clone(weight)),
        }
    }
}
