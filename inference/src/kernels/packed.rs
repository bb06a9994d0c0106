//! Rows times a matrix that is not quantised.
//!
//! Weights lie in [panels](super::panel), one after the other: a product reads
//! them as one stream and keeps its sums in registers. They are `f32`, or
//! `bf16` as most checkpoints are published, which takes half the memory and
//! half the time and is widened exactly.

use std::fmt::Debug;

use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable};
use rayon::prelude::*;

use super::bands;
use super::pages::Pages;
use super::panel::{Part, Pass, WIDTH};
use super::{Matrix, Shape};

/// Weights as `f32`.
pub(crate) type Single = [f32; WIDTH];

/// Weights as `bf16`. A word has one column in its lower half and the one
/// eight columns on in its upper half: one shift or one mask widens eight.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(32))]
pub(crate) struct Brain([u32; WIDTH / 2]);

/// Weights `[inputs, outputs]` in panels: [`Single`] or [`Brain`].
#[derive(Debug)]
pub(crate) struct Packed<T> {
    inputs: usize,
    outputs: usize,
    /// `[outputs / WIDTH, inputs]`, rounded up; columns too many are zero.
    panels: Pages<T>,
}

/// A way to keep the weights of a panel.
pub(crate) trait Pack: Part + Debug + AnyBitPattern + NoUninit {
    /// Keeps them, rounded where they must be.
    fn pack(weights: [f32; WIDTH]) -> Self;
}

// === impl Packed ===

impl<T: Pack> Packed<T> {
    /// Packs `weight(input, output)` for all inputs and outputs.
    pub(crate) fn pack(inputs: usize, outputs: usize, weight: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut panels = Pages::<T>::zeroed(outputs.div_ceil(WIDTH) * inputs);
        panels.par_iter_mut().with_min_len(inputs.max(64)).enumerate().for_each(|(index, part)| {
            let (start, k) = (index / inputs * WIDTH, index % inputs);
            let column = |n| if n < outputs { weight(k, n) } else { 0.0 };
            *part = T::pack(std::array::from_fn(|n| column(start + n)));
        });
        Self { inputs, outputs, panels }
    }

    /// Bytes of weights.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.panels)
    }
}

impl<T: Pack> Matrix for Packed<T> {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn widen(&self, output: usize, weights: &mut [f32]) {
        assert!(output < self.outputs && weights.len() == self.inputs, "one column is [inputs]");
        let panel = &self.panels[output / WIDTH * self.inputs..][..self.inputs];
        for (weight, part) in weights.iter_mut().zip(panel) {
            *weight = part.widen()[output % WIDTH];
        }
    }

    fn multiply(&self, rows: usize, x: &[f32], y: &mut [f32]) {
        let (inputs, shape) = (self.inputs, Shape { rows, inputs: self.inputs, outputs: self.outputs });
        shape.check(x.len(), y.len());
        bands::each(y, shape, WIDTH, self.bytes(), |mut band| {
            let columns = band.columns;
            let panels = &self.panels[columns.start / WIDTH * inputs..columns.end.div_ceil(WIDTH) * inputs];
            Pass { x, panels, inputs, at: 0, y: &mut band.rows }.run();
        });
    }
}

// === impl Pack ===

impl Pack for Single {
    fn pack(weights: [f32; WIDTH]) -> Self {
        weights
    }
}

impl Pack for Brain {
    fn pack(weights: [f32; WIDTH]) -> Self {
        let bits = weights.map(|weight| u32::from(half::bf16::from_f32(weight).to_bits()));
        Self(std::array::from_fn(|n| bits[n] | bits[n + WIDTH / 2] << 16))
    }
}

impl Part for Brain {
    #[inline(always)]
    fn widen(&self) -> [f32; WIDTH] {
        let mut weights = [0.0; WIDTH];
        for n in 0..WIDTH / 2 {
            weights[n] = f32::from_bits(self.0[n] << 16);
            weights[n + WIDTH / 2] = f32::from_bits(self.0[n] & 0xffff_0000);
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{assert_close, numbers, product};
    use super::*;

    fn pack<T: Pack>(w: &[f32], inputs: usize, outputs: usize) -> Packed<T> {
        Packed::pack(inputs, outputs, |k, n| w[k * outputs + n])
    }

    /// Weights that `bf16` keeps as they are.
    fn short(seed: u64, count: usize) -> Vec<f32> {
        numbers(seed, count).into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect()
    }

    fn assert_product<T: Pack>() {
        for (inputs, outputs) in [(1, 1), (33, 7), (64, 33), (257, 129), (768, 400)] {
            let w = short(2, inputs * outputs);
            let packed = pack::<T>(&w, inputs, outputs);
            for rows in [0, 1, 2, 5, 8, 13] {
                let shape = Shape { rows, inputs, outputs };
                let x = numbers(1, rows * inputs);
                let mut y = vec![f32::NAN; rows * outputs];
                packed.multiply(rows, &x, &mut y);
                assert_close(&y, &product(shape, &x, &w), 1e-5);
            }
        }
    }

    #[test]
    fn single_precision_multiplies() {
        assert_product::<Single>();
    }

    #[test]
    fn brain_floats_multiply() {
        assert_product::<Brain>();
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch() {
        let packed = pack::<Brain>(&numbers(4, 96 * 700), 96, 700);
        let x = numbers(3, 11 * 96);
        let mut together = vec![0.0; 11 * 700];
        packed.multiply(11, &x, &mut together);
        for (x, together) in x.chunks(96).zip(together.chunks(700)) {
            let mut alone = vec![0.0; 700];
            packed.multiply(1, x, &mut alone);
            assert_eq!(alone, together);
        }
    }

    #[test]
    fn columns_come_back_as_they_were() {
        let mut w = short(5, 37 * 20);
        w[..4].copy_from_slice(&[f32::from_bits(1 << 16), -0.0, f32::INFINITY, f32::MIN_POSITIVE]);
        let (single, brain) = (pack::<Single>(&w, 37, 20), pack::<Brain>(&w, 37, 20));
        let mut column = [[f32::NAN; 37]; 2];
        for n in 0..20 {
            single.widen(n, &mut column[0]);
            brain.widen(n, &mut column[1]);
            for k in 0..37 {
                assert_eq!(column.map(|column| column[k].to_bits()), [w[k * 20 + n].to_bits(); 2]);
            }
        }
    }

    #[test]
    fn nothing_in_makes_zeros() {
        let mut y = [f32::NAN; 6];
        pack::<Single>(&[], 0, 3).multiply(2, &[], &mut y);
        assert_eq!(y, [0.0; 6]);
        pack::<Single>(&[], 3, 0).multiply(2, &[1.0; 6], &mut []);
    }
}
