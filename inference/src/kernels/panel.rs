//! Many rows times a matrix of which some columns at a time are made.
//!
//! A panel is [`WIDTH`] columns by inputs, small enough for the second-level
//! cache; all rows of activations pass over it, some at a time, whose sums stay
//! in registers.

use std::array;

use pulp::{Arch, Simd, WithSimd};

use super::Shape;
use super::bands;

/// Columns of a panel.
pub(super) const WIDTH: usize = 16;

/// Rows of activations whose sums stay in registers.
const ROWS: usize = 6;

/// Work, in bytes of an imagined matrix, below which it stays on one thread.
const BYTES: usize = size_of::<f32>();

/// Computes `y = x · w`, where `make` fills in a panel: the columns of `w` from
/// the one given on.
pub(super) fn multiply(shape: Shape, x: &[f32], y: &mut [f32], make: impl Fn(usize, &mut [[f32; WIDTH]]) + Sync) {
    let bytes = shape.inputs * shape.outputs * BYTES;
    bands::each(y, shape, WIDTH, bytes, |mut band| {
        let mut panel = vec![[0.0; WIDTH]; shape.inputs];
        for start in band.columns.clone().step_by(WIDTH) {
            make(start, &mut panel);
            let at = start - band.columns.start;
            Arch::new().dispatch(Pass { x, panel: &panel, at, y: &mut band.rows });
        }
    });
}

/// All rows over one panel, on whatever vectors there are.
struct Pass<'a, 'b> {
    x: &'a [f32],
    panel: &'a [[f32; WIDTH]],
    /// Where in the rows of `y` the panel's columns begin.
    at: usize,
    y: &'a mut [&'b mut [f32]],
}

// === impl Pass ===

impl WithSimd for Pass<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            1 => self.vectors::<S, 16>(simd),
            2 => self.vectors::<S, 8>(simd),
            4 => self.vectors::<S, 4>(simd),
            8 => self.vectors::<S, 2>(simd),
            _ => self.vectors::<S, 1>(simd),
        }
    }
}

impl Pass<'_, '_> {
    /// With panels of `V` vectors.
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(self, simd: S) {
        let inputs = self.panel.len();
        let mut x = self.x;
        for y in self.y.chunks_mut(ROWS) {
            let (these, rest) = x.split_at(y.len() * inputs);
            x = rest;
            match y.len() {
                1 => some_rows::<S, 1, V>(simd, these, self.panel, self.at, y),
                2 => some_rows::<S, 2, V>(simd, these, self.panel, self.at, y),
                3 => some_rows::<S, 3, V>(simd, these, self.panel, self.at, y),
                4 => some_rows::<S, 4, V>(simd, these, self.panel, self.at, y),
                5 => some_rows::<S, 5, V>(simd, these, self.panel, self.at, y),
                _ => some_rows::<S, 6, V>(simd, these, self.panel, self.at, y),
            }
        }
    }
}

/// `R` rows over one panel, into the columns from `at` of `y`.
#[inline(always)]
fn some_rows<S: Simd, const R: usize, const V: usize>(
    simd: S,
    x: &[f32],
    panel: &[[f32; WIDTH]],
    at: usize,
    y: &mut [&mut [f32]],
) {
    let inputs = panel.len();
    let x: [&[f32]; R] = array::from_fn(|r| &x[r * inputs..][..inputs]);
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (k, weights) in panel.iter().enumerate() {
        let weights = S::as_simd_f32s(weights).0;
        for r in 0..R {
            let x = simd.splat_f32s(x[r][k]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(x, weights[v], sums[r][v]);
            }
        }
    }
    for (row, sums) in y.iter_mut().zip(&sums) {
        let width = (row.len() - at).min(WIDTH);
        let parts = row[at..at + width].chunks_mut(S::F32_LANES);
        for (part, &sum) in parts.zip(sums) {
            simd.partial_store_f32s(part, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{assert_close, numbers, product};
    use super::*;

    #[test]
    fn equals_the_plain_product() {
        for (inputs, outputs) in [(1, 1), (33, 7), (32, 16), (65, 33), (768, 100)] {
            for rows in [0, 1, 5, 6, 13] {
                let shape = Shape { rows, inputs, outputs };
                let (x, w) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
                let mut y = vec![f32::NAN; rows * outputs];
                multiply(shape, &x, &mut y, |start, panel| {
                    for (k, row) in panel.iter_mut().enumerate() {
                        *row = array::from_fn(|n| if start + n < outputs { w[k * outputs + start + n] } else { 0.0 });
                    }
                });
                assert_close(&y, &product(shape, &x, &w), 1e-5);
            }
        }
    }
}
