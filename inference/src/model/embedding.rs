//! From tokens to the first hidden state.

#[cfg(feature = "cpu")]
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

#[cfg(feature = "cpu")]
use super::host::HostMatrix;

/// A vector for every token of the vocabulary.
#[derive(Clone, Debug)]
pub(crate) enum Embedding {
    /// `[vocabulary, hidden]`
    Device(Box<Tensor<2>>),
    /// For the kernels of the CPU; a tied model has it once.
    #[cfg(feature = "cpu")]
    Host(Arc<HostMatrix>),
}

impl Embedding {
    /// `[rows, hidden]` in the type of the activations.
    pub(super) fn forward(&self, tokens: &[u32], device: &Device, dtype: DType) -> Tensor<2> {
        match self {
            Self::Device(table) => {
                let ids = tokens.iter().map(|token| token.cast_signed()).collect();
                let ids = Tensor::from_data(TensorData::new(ids, [tokens.len()]), (device, DType::I32));
                table.as_ref().clone().select(0, ids)
            }
            #[cfg(feature = "cpu")]
            Self::Host(table) => {
                let mut rows = Vec::with_capacity(tokens.len() * table.inputs());
                for &token in tokens {
                    table.row(token as usize, &mut rows);
                }
                Tensor::from_data(TensorData::new(rows, [tokens.len(), table.inputs()]), (device, dtype))
            }
        }
    }
}
