//! Reads weights one part at a time and puts them where they are computed with.

use std::ops::ControlFlow;
#[cfg(feature = "cpu")]
use std::sync::Arc;

use burn::tensor::quantization::{QuantScheme, QuantValue, ScaleDtype};
use burn::tensor::{DType, Tensor, TensorData};

use super::LoadError;
#[cfg(feature = "cpu")]
use crate::checkpoint::Dtype;
use crate::checkpoint::{ModelConfig, Tensors};
use crate::device::Placement;
use crate::engine::load::Progress;
#[cfg(feature = "cpu")]
use crate::kernels::{
    self,
    packed::{Brain, Packed, Single},
    quantized::{Eight, Four, Quantized},
};
use crate::model::{Embedding, Linear, Matrix, RmsNorm};
use crate::settings::Quantization;

/// Inputs that share a scale on a device.
const DEVICE_BLOCK: u8 = 32;

/// Whether a device can quantise a matrix of so many inputs, as those of real
/// models are. Others it keeps as they are.
pub(super) fn fills_blocks(inputs: usize) -> bool {
    inputs.is_multiple_of(DEVICE_BLOCK.into())
}

/// Weights on their way.
pub(super) struct Weights<'a> {
    pub(super) tensors: &'a Tensors,
    pub(super) placement: &'a Placement,
    /// Of what is not quantised.
    pub(super) dtype: DType,
    pub(super) quantization: Quantization,
    /// Hears of each part.
    pub(super) progress: Progress<'a>,
    pub(super) done_bytes: u64,
    pub(super) total_bytes: u64,
}

impl Weights<'_> {
    /// The table of embeddings, and the output projection where it is the
    /// same matrix.
    pub(super) fn embedding(
        &mut self,
        name: &str,
        config: &ModelConfig,
    ) -> Result<(Embedding, Option<Matrix>), LoadError> {
        let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
        let name = format!("{name}.weight");
        let rows = self.read(&name)?;
        #[cfg(feature = "cpu")]
        if self.placement.host {
            let matrix = self.host_matrix(&rows, hidden, vocabulary, &[name]);
            let head = config.tied_embeddings.then(|| Matrix::Host(Arc::clone(&matrix)));
            return Ok((Embedding::Host(matrix), head));
        }
        let table = self.tensor(rows, [vocabulary, hidden]);
        let head = config.tied_embeddings.then(|| Matrix::Device(Box::new(table.clone().transpose())));
        Ok((Embedding::Device(Box::new(table)), head))
    }

    /// Of any number of features.
    pub(super) fn norm(&mut self, name: &str, config: &ModelConfig) -> Result<RmsNorm, LoadError> {
        let values = self.read(&format!("{name}.weight"))?;
        Ok(RmsNorm::new(self.vector(values), config.norm_eps, self.placement.host))
    }

    /// Several projections of the same input, beside each other.
    pub(super) fn linear(&mut self, names: &[String], input: usize, biased: bool) -> Result<Linear, LoadError> {
        let mut bias = Vec::new();
        if biased {
            for name in names {
                bias.append(&mut self.read(&format!("{name}.bias"))?);
            }
        }
        let bias = biased.then(|| self.vector(bias));
        Ok(Linear::new(self.projection(names, input)?, bias))
    }

    /// As [`linear`](Self::linear), without biases.
    pub(super) fn projection(&mut self, names: &[String], input: usize) -> Result<Matrix, LoadError> {
        let names: Vec<String> = names.iter().map(|name| format!("{name}.weight")).collect();
        let stored = |name: &String| self.tensors.elements(name);
        let mut rows = Vec::with_capacity(names.iter().map(stored).sum());
        for name in &names {
            rows.append(&mut self.read(name)?);
        }
        let output = rows.len() / input;
        #[cfg(feature = "cpu")]
        if self.placement.host {
            return Ok(Matrix::Host(self.host_matrix(&rows, input, output, &names)));
        }
        let Some(scheme) = scheme(self.quantization, input) else {
            let columns = self.tensor(transpose(&rows, output, input), [input, output]);
            return Ok(Matrix::Device(Box::new(columns)));
        };
        // Blocks run along the inputs, as on the CPU.
        let rows = self.tensor(rows, [output, input]);
        Ok(Matrix::Device(Box::new(rows.quantize_dynamic(&scheme).transpose())))
    }

    /// From rows `[out, in]` as files have them, in tensors of these names.
    #[cfg(feature = "cpu")]
    fn host_matrix(&self, rows: &[f32], input: usize, output: usize, names: &[String]) -> Arc<dyn kernels::Matrix> {
        let weight = |k: usize, n: usize| rows[n * input + k];
        // Brain floats lose nothing when they are kept so.
        let brain = || names.iter().all(|name| self.tensors.dtype(name) == Some(Dtype::BF16));
        match self.quantization {
            Quantization::Q8 => Arc::new(Quantized::<Eight>::pack(input, output, weight)),
            Quantization::Q4 => Arc::new(Quantized::<Four>::pack(input, output, weight)),
            Quantization::None if brain() => Arc::new(Packed::<Brain>::pack(input, output, weight)),
            Quantization::None => Arc::new(Packed::<Single>::pack(input, output, weight)),
        }
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let values = self.tensors.read_f32(name)?;
        self.done_bytes += self.tensors.stored_bytes(name);
        match (self.progress)(self.done_bytes, self.total_bytes) {
            ControlFlow::Continue(()) => Ok(values),
            ControlFlow::Break(()) => Err(LoadError::BrokenOff),
        }
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), (&self.placement.device, self.dtype))
    }

    fn vector(&self, values: Vec<f32>) -> Tensor<1> {
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), (&self.placement.device, self.dtype))
    }
}

/// How Burn quantises for a device: symmetric, in whole blocks.
fn scheme(quantization: Quantization, inputs: usize) -> Option<QuantScheme> {
    if !fills_blocks(inputs) {
        return None;
    }
    let value = match quantization {
        Quantization::None => return None,
        Quantization::Q8 => QuantValue::Q8S,
        Quantization::Q4 => QuantValue::Q4S,
    };
    Some(QuantScheme::default().with_value(value).per_block([DEVICE_BLOCK], ScaleDtype::F32))
}

/// `[rows, columns] → [columns, rows]`, in squares that fit the cache.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const SIDE: usize = 32;
    let mut transposed = vec![0.0; values.len()];
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            for r in row..(row + SIDE).min(rows) {
                for c in column..(column + SIDE).min(columns) {
                    transposed[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn rows_become_columns() {
        assert_eq!(transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let values: Vec<f32> = (0..70u16 * 41).map(f32::from).collect();
        assert_eq!(transpose(&transpose(&values, 70, 41), 41, 70), values);
    }
}
