//! From tokens to the first hidden state.

#[cfg(feature = "cpu")]
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::integers;
#[cfg(feature = "cpu")]
use crate::kernels::Matrix;

/// A vector for every token of the vocabulary.
#[derive(Clone, Debug)]
pub(crate) enum Embedding {
    /// `[vocabulary, hidden]`
    Device(Box<Tensor<2>>),
    /// For the kernels of the CPU; a tied model has it once.
    #[cfg(feature = "cpu")]
    Host(Arc<dyn Matrix>),
}

impl Embedding {
    /// `[rows, hidden]` in the type of the activations.
    pub(super) fn forward(&self, tokens: &[u32], device: &Device, dtype: DType) -> Tensor<2> {
        match self {
            Self::Device(table) => {
                let ids = tokens.iter().map(|token| token.cast_signed()).collect();
                table.as_ref().clone().select(0, integers(ids, device))
            }
            #[cfg(feature = "cpu")]
            Self::Host(table) => {
                let hidden = table.inputs();
                let mut rows = vec![0.0; tokens.len() * hidden];
                for (&token, row) in tokens.iter().zip(rows.chunks_exact_mut(hidden)) {
                    table.widen(token as usize, row);
                }
                Tensor::from_data(TensorData::new(rows, [tokens.len(), hidden]), (device, dtype))
            }
        }
    }
}
