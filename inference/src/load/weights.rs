//! Reads weights one part at a time and puts them where they are computed with.

use burn::tensor::{DType, Tensor, TensorData};

use crate::checkpoint::{CheckpointError, ModelConfig, Tensors};
use crate::device::Placement;
use crate::model::{Head, Linear, RmsNorm};
use crate::settings::Quantization;

/// Weights on their way.
pub(super) struct Weights<'a> {
    pub(super) tensors: &'a Tensors,
    pub(super) placement: &'a Placement,
    /// Of what is not quantised.
    pub(super) dtype: DType,
    pub(super) quantization: Quantization,
    /// Hears of bytes read, and of bytes in all.
    pub(super) progress: &'a mut dyn FnMut(u64, u64),
    pub(super) done_bytes: u64,
}

impl Weights<'_> {
    /// `[vocabulary, hidden]`
    pub(super) fn embedding(
        &mut self,
        name: &str,
        vocabulary: usize,
        hidden: usize,
    ) -> Result<Tensor<2>, CheckpointError> {
        let values = self.read(&format!("{name}.weight"))?;
        Ok(self.matrix(values, [vocabulary, hidden]))
    }

    /// Of any number of features.
    pub(super) fn norm(&mut self, name: &str, config: &ModelConfig) -> Result<RmsNorm, CheckpointError> {
        let values = self.read(&format!("{name}.weight"))?;
        Ok(RmsNorm::new(self.vector(values), config.norm_eps))
    }

    /// The output projection.
    pub(super) fn head(&mut self, name: &str, config: &ModelConfig) -> Result<Head, CheckpointError> {
        let values = self.read(&format!("{name}.weight"))?;
        Ok(Head::new(self.matrix(values, [config.vocab_size, config.hidden_size])))
    }

    /// Several projections of the same input, beside each other.
    pub(super) fn linear(
        &mut self,
        names: &[String],
        input: usize,
        biased: bool,
    ) -> Result<Linear, CheckpointError> {
        let mut rows = Vec::new();
        let mut bias = Vec::new();
        for name in names {
            rows.append(&mut self.read(&format!("{name}.weight"))?);
            if biased {
                bias.append(&mut self.read(&format!("{name}.bias"))?);
            }
        }
        let output = rows.len() / input;
        let bias = biased.then(|| self.vector(bias));
        let columns = transpose(&rows, output, input);
        Ok(Linear::dense(self.matrix(columns, [input, output]), bias))
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let values = self.tensors.read_f32(name)?;
        self.done_bytes += self.tensors.stored_bytes(name);
        // A tied embedding is read a second time.
        let total = self.tensors.total_bytes();
        (self.progress)(self.done_bytes.min(total), total);
        Ok(values)
    }

    fn matrix(&self, values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), (&self.placement.device, self.dtype))
    }

    fn vector(&self, values: Vec<f32>) -> Tensor<1> {
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), (&self.placement.device, self.dtype))
    }
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
