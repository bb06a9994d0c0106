//! Few rows times a matrix of `f32`.
//!
//! The weights stay `[inputs, outputs]` by rows, as the product of many rows
//! wants them. A column of such a matrix is scattered over memory, so the
//! kernel goes along the rows instead: some of them side by side, which is as
//! many streams as a processor fetches ahead, onto sums that stay in the
//! first-level cache.

use std::array;

use pulp::{Arch, Simd, WithSimd};

use super::Shape;
use super::bands::{self, Band};

/// Rows of activations that share one reading of the weights.
const ROWS: usize = 8;

/// Rows of weights that are read side by side.
const STREAMS: usize = 4;

/// Sums that stay in the first-level cache, over all rows of activations.
const SUMS: usize = 4096;

/// Columns of one band begin at a whole cache line.
const UNIT: usize = 16;

/// Computes `y = x · w` of `x [rows, inputs]`, `w [inputs, outputs]` and
/// `y [rows, outputs]`. Meant for few rows; right for any number.
///
/// # Panics
///
/// When a slice is not as long as its shape says.
pub(crate) fn multiply(shape: Shape, x: &[f32], w: &[f32], y: &mut [f32]) {
    shape.check(x.len(), y.len());
    assert_eq!(w.len(), shape.inputs * shape.outputs, "weights are [inputs, outputs]");
    bands::each(y, shape, UNIT, size_of_val(w), |band| {
        Arch::new().dispatch(Multiply { shape, x, w, band });
    });
}

/// One band, on whatever vectors there are.
struct Multiply<'a> {
    shape: Shape,
    x: &'a [f32],
    w: &'a [f32],
    band: Band<'a>,
}

// === impl Multiply ===

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, x, w, mut band } = self;
        let mut done = 0;
        for rows in band.rows.chunks_mut(ROWS) {
            let x = &x[done * shape.inputs..];
            let start = band.columns.start;
            match rows.len() {
                1 => some_rows::<S, 1>(simd, shape, x, w, start, rows),
                2 => some_rows::<S, 2>(simd, shape, x, w, start, rows),
                3 => some_rows::<S, 3>(simd, shape, x, w, start, rows),
                4 => some_rows::<S, 4>(simd, shape, x, w, start, rows),
                5 => some_rows::<S, 5>(simd, shape, x, w, start, rows),
                6 => some_rows::<S, 6>(simd, shape, x, w, start, rows),
                7 => some_rows::<S, 7>(simd, shape, x, w, start, rows),
                _ => some_rows::<S, 8>(simd, shape, x, w, start, rows),
            }
            done += rows.len();
        }
    }
}

/// The columns from `start` of `R` rows.
#[inline(always)]
fn some_rows<S: Simd, const R: usize>(simd: S, shape: Shape, x: &[f32], w: &[f32], start: usize, y: &mut [&mut [f32]]) {
    let width = y[0].len();
    let block = SUMS / R;
    for from in (0..width).step_by(block) {
        let to = width.min(from + block);
        let mut sums: [&mut [f32]; R] = array::from_fn(|_| Default::default());
        for (sums, row) in sums.iter_mut().zip(&mut *y) {
            *sums = &mut row[from..to];
            sums.fill(0.0);
        }
        let column = |k: usize| &w[k * shape.outputs + start + from..][..to - from];
        let mut k = 0;
        while k + STREAMS <= shape.inputs {
            let w: [&[f32]; STREAMS] = array::from_fn(|i| column(k + i));
            add(simd, array::from_fn(|r| array::from_fn(|i| x[r * shape.inputs + k + i])), w, &mut sums);
            k += STREAMS;
        }
        while k < shape.inputs {
            add(simd, array::from_fn(|r| [x[r * shape.inputs + k]]), [column(k)], &mut sums);
            k += 1;
        }
    }
}

/// Adds `x [R, K] · w [K, n]` to `sums [R, n]`, one row of weights after the
/// other, so that the order of additions is the same for any `R` and `K`.
#[inline(always)]
fn add<S: Simd, const R: usize, const K: usize>(simd: S, x: [[f32; K]; R], w: [&[f32]; K], sums: &mut [&mut [f32]; R]) {
    const PAIR: usize = 2;
    let x: [[S::f32s; K]; R] = array::from_fn(|r| array::from_fn(|i| simd.splat_f32s(x[r][i])));
    let pairs = w[0].len() / (PAIR * S::F32_LANES);
    let whole = pairs * PAIR * S::F32_LANES;
    let paired: [&[[S::f32s; PAIR]]; K] = array::from_fn(|i| &S::as_simd_f32s(&w[i][..whole]).0.as_chunks().0[..pairs]);
    let totals =
        sums.each_mut().map(|sums| &mut S::as_mut_simd_f32s(&mut sums[..whole]).0.as_chunks_mut::<PAIR>().0[..pairs]);
    for pair in 0..pairs {
        let w: [[S::f32s; PAIR]; K] = array::from_fn(|i| paired[i][pair]);
        for r in 0..R {
            let [mut left, mut right] = totals[r][pair];
            for i in 0..K {
                left = simd.mul_add_e_f32s(x[r][i], w[i][0], left);
                right = simd.mul_add_e_f32s(x[r][i], w[i][1], right);
            }
            totals[r][pair] = [left, right];
        }
    }
    let mut at = whole;
    while at < w[0].len() {
        for r in 0..R {
            let mut total = simd.partial_load_f32s(&sums[r][at..]);
            for i in 0..K {
                total = simd.mul_add_e_f32s(x[r][i], simd.partial_load_f32s(&w[i][at..]), total);
            }
            simd.partial_store_f32s(&mut sums[r][at..], total);
        }
        at += S::F32_LANES;
    }
}

#[cfg(test)]
mod tests;
