//! What the decoder computes on the CPU by kernels of its own.
//!
//! A chat makes one token at a time, so every weight is read once for a handful
//! of multiplications: the speed of memory decides. These kernels read weights
//! once for all sequences of a batch, as they lie in memory, and never widen or
//! copy a matrix. They know plain slices only; what they compute is
//!
//! - [`packed`]: rows times a matrix of `f32` or `bf16`,
//! - [`quantized`]: rows times a matrix of eight or four bits,
//! - [`attention`]: one new token of each sequence over its cache,
//! - [`pointwise`]: the normalisation, rotation and gate between them.
//!
//! Vector instructions are chosen at run time, and there is a portable path for
//! everything. A row's result is the same to the last bit whatever the number
//! of threads and whatever else is in the batch; with quantised weights only
//! while the batch is [small](quantized::MANY_ROWS).
//!
//! Work is shared out on the current thread pool of `rayon`. A caller that
//! computes many of them in a row does so from inside the pool: else each call
//! hands over to it and sleeps.

pub(crate) mod attention;
pub(crate) mod packed;
pub(crate) mod pointwise;
pub(crate) mod quantized;

mod bands;
mod exponential;
mod pages;
mod panel;
mod prefetch;

use std::fmt::Debug;

/// What is multiplied: `[rows, inputs] · [inputs, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rows of activations.
    pub(crate) rows: usize,
    /// Values of one row.
    pub(crate) inputs: usize,
    /// Columns of the weights, which are values of one row of the result.
    pub(crate) outputs: usize,
}

impl Shape {
    /// Panics when activations or results are not as long as they should be.
    fn check(self, x: usize, y: usize) {
        assert_eq!(x, self.rows * self.inputs, "activations are [rows, inputs]");
        assert_eq!(y, self.rows * self.outputs, "results are [rows, outputs]");
    }
}

/// Weights `[inputs, outputs]`, in whatever form they are kept.
pub(crate) trait Matrix: Debug + Send + Sync {
    /// Values of one row of activations.
    fn inputs(&self) -> usize;

    /// Columns.
    fn outputs(&self) -> usize;

    /// Widens the weights of one output, which in a table of embeddings is one
    /// row, into `weights [inputs]`.
    ///
    /// # Panics
    ///
    /// When there is no such output, or `weights` is not as long.
    fn widen(&self, output: usize, weights: &mut [f32]);

    /// Computes `y = x · w` of `x [rows, inputs]` and `y [rows, outputs]`.
    ///
    /// # Panics
    ///
    /// When a slice is not as long as the shape says.
    fn multiply(&self, rows: usize, x: &[f32], y: &mut [f32]);
}

#[cfg(test)]
mod reference;
