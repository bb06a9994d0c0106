//! Few rows times a matrix of eight or four bits.
//!
//! Weights are quantised in blocks of 32 along the inputs: whole numbers and
//! one scale for each block, which is the block's largest weight over 127
//! (eight bits) or -8 (four bits). Activations are quantised to eight bits in
//! the same blocks as they come, so that a block is a sum of whole numbers,
//! exact and the same on every processor; only the scales multiply in `f32`.
//!
//! In memory a [`tile`] is one block of eight columns, laid out as one vector
//! after the other, and a column of tiles is contiguous: one stream, read once
//! for all rows. A weight takes 8.5 or 4.5 bits: scales are `bf16`, rounded away
//! from zero, which has the range of `f32` so that no block is too small for
//! it; weights are rounded to multiples of the scale as stored.
//!
//! With many rows, arithmetic decides and not memory: then some columns at a
//! time are widened to `f32` for a [dense](super::panel) product.

mod activations;
mod arithmetic;
mod tile;

use rayon::prelude::*;

use super::bands::{self, Band};
use super::pages::Pages;
use super::panel::{self, Pass};
use super::{Matrix, Shape};
use activations::Activations;
use arithmetic::Arithmetic;
use tile::{COLUMNS, Scales};
pub(crate) use tile::{Eight, Four, Tile};

/// Inputs that share a scale.
pub(crate) const BLOCK: usize = 32;

/// Rows from which it pays to widen the weights; activations then keep their
/// precision, so that results differ a little from those of few rows.
pub(crate) const MANY_ROWS: usize = 24;

/// Rows of activations that share one reading of a tile: as many as keep all
/// that they need in registers.
const ROWS: usize = 3;

/// Weights `[inputs, outputs]`, quantised: [`Eight`] or [`Four`] bits.
#[derive(Debug)]
pub(crate) struct Quantized<T> {
    inputs: usize,
    outputs: usize,
    /// `[outputs / 8, inputs / 32]`, rounded up.
    tiles: Pages<T>,
    /// Those of each tile.
    scales: Pages<Scales>,
}

// === impl Quantized ===

impl<T: Tile> Quantized<T> {
    /// Quantises `weight(input, output)` for all inputs and outputs. Weights
    /// are finite; one that is not spoils its block only.
    pub(crate) fn pack(inputs: usize, outputs: usize, weight: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let blocks = inputs.div_ceil(BLOCK);
        let groups = outputs.div_ceil(COLUMNS);
        let (mut tiles, mut scales) = (Pages::zeroed(groups * blocks), Pages::zeroed(groups * blocks));
        let places = tiles.par_iter_mut().zip(&mut *scales).with_min_len(blocks.max(64));
        places.enumerate().for_each(|(index, (tile, scales))| {
            let (column, input) = (index / blocks * COLUMNS, index % blocks * BLOCK);
            (*tile, *scales) = T::pack(|k, n| {
                let (k, n) = (input + k, column + n);
                if k < inputs && n < outputs { weight(k, n) } else { 0.0 }
            });
        });
        Self { inputs, outputs, tiles, scales }
    }

    /// Bytes of weights and scales.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.tiles) + size_of_val(&*self.scales)
    }

    /// The tiles of one group of columns, from the first input to the last.
    #[inline(always)]
    fn column(&self, group: usize) -> impl Iterator<Item = (&T, &Scales)> {
        let blocks = self.inputs.div_ceil(BLOCK);
        let tiles = &self.tiles[group * blocks..][..blocks];
        tiles.iter().zip(&self.scales[group * blocks..][..blocks])
    }

    /// Widens the columns from `start` on into `panel [inputs, width]`; those
    /// that do not exist are zero.
    fn widen_panel(&self, start: usize, panel: &mut [[f32; panel::WIDTH]]) {
        for at in (0..panel::WIDTH).step_by(COLUMNS) {
            let column = start + at;
            if column >= self.outputs {
                panel.iter_mut().for_each(|row| row[at..].fill(0.0));
                return;
            }
            for ((tile, scales), rows) in self.column(column / COLUMNS).zip(panel.chunks_mut(BLOCK)) {
                let scales = scales.widen();
                for (k, row) in rows.iter_mut().enumerate() {
                    for n in 0..COLUMNS {
                        row[at + n] = f32::from(tile.get(k, n)) * scales[n];
                    }
                }
            }
        }
    }
}

impl<T: Tile> Matrix for Quantized<T> {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn widen(&self, output: usize, weights: &mut [f32]) {
        assert!(output < self.outputs && weights.len() == self.inputs, "one column is [inputs]");
        let column = self.column(output / COLUMNS);
        for ((tile, scales), weights) in column.zip(weights.chunks_mut(BLOCK)) {
            let scale = scales.get(output % COLUMNS);
            for (k, weight) in weights.iter_mut().enumerate() {
                *weight = f32::from(tile.get(k, output % COLUMNS)) * scale;
            }
        }
    }

    fn multiply(&self, rows: usize, x: &[f32], y: &mut [f32]) {
        let shape = Shape { rows, inputs: self.inputs, outputs: self.outputs };
        shape.check(x.len(), y.len());
        if rows >= MANY_ROWS {
            let bytes = size_of::<f32>() * self.inputs * self.outputs;
            bands::each(y, shape, panel::WIDTH, bytes, |mut band| {
                let mut panel = vec![[0.0; panel::WIDTH]; self.inputs];
                for start in band.columns.clone().step_by(panel::WIDTH) {
                    self.widen_panel(start, &mut panel);
                    let at = start - band.columns.start;
                    Pass { x, panels: &panel, inputs: self.inputs, at, y: &mut band.rows }.run();
                }
            });
        } else {
            let x = Activations::quantize(x, rows, self.inputs);
            bands::each(y, shape, COLUMNS, self.bytes(), |band| {
                arithmetic::dispatch(Multiply { weights: self, x: &x, band });
            });
        }
    }
}

/// One band, on whatever vectors there are.
struct Multiply<'a, T> {
    weights: &'a Quantized<T>,
    x: &'a Activations,
    band: Band<'a>,
}

impl<T: Tile> arithmetic::Operation for Multiply<'_, T> {
    #[inline(always)]
    fn run<A: Arithmetic>(self, arithmetic: A) {
        let Self { weights, x, mut band } = self;
        for start in band.columns.clone().step_by(COLUMNS) {
            let at = start - band.columns.start;
            for (index, rows) in band.rows.chunks_mut(ROWS).enumerate() {
                let group = start / COLUMNS;
                let first = index * ROWS;
                match rows.len() {
                    1 => some_rows::<A, T, 1>(arithmetic, weights, group, x, first, at, rows),
                    2 => some_rows::<A, T, 2>(arithmetic, weights, group, x, first, at, rows),
                    _ => some_rows::<A, T, 3>(arithmetic, weights, group, x, first, at, rows),
                }
            }
        }
    }
}

/// Eight columns of `R` rows of activations from `first` on, into the columns
/// from `at` of the rows of the band.
#[inline(always)]
fn some_rows<A: Arithmetic, T: Tile, const R: usize>(
    arithmetic: A,
    weights: &Quantized<T>,
    group: usize,
    x: &Activations,
    first: usize,
    at: usize,
    y: &mut [&mut [f32]],
) {
    let mut sums = [[0.0_f32; COLUMNS]; R];
    let x: [_; R] = std::array::from_fn(|r| x.row(first + r));
    for (block, (tile, scales)) in weights.column(group).enumerate() {
        let scales = scales.widen();
        let x = x.map(|x| &x[block]);
        super::prefetch::ahead_of(tile);
        let products = tile.dot(arithmetic, x);
        for r in 0..R {
            for n in 0..COLUMNS {
                sums[r][n] += products[r][n] as f32 * (scales[n] * x[r].scale);
            }
        }
    }
    for (row, sums) in y.iter_mut().zip(&sums) {
        let width = (row.len() - at).min(COLUMNS);
        row[at..at + width].copy_from_slice(&sums[..width]);
    }
}

#[cfg(test)]
mod tests;
