//! Rows of activations over panels of weights.
//!
//! A panel is [`WIDTH`] columns by inputs, one input after the other. Some rows
//! at a time pass over it, whose sums stay in registers; with many rows it
//! stays in the second-level cache meanwhile. Each sum adds input after input,
//! whatever the number of rows.

use std::array;

use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel.
pub(super) const WIDTH: usize = 16;

/// Rows of activations whose sums stay in registers.
const ROWS: usize = 6;

/// Panels that are read side by side.
const PANELS: usize = 2;

/// The weights of one input in the columns of a panel.
pub(crate) trait Part: Copy + Send + Sync {
    /// In `f32`, by columns.
    fn widen(&self) -> [f32; WIDTH];
}

/// Some rows over some panels, on whatever vectors there are.
pub(super) struct Pass<'a, 'b, T> {
    /// `[rows, inputs]`.
    pub(super) x: &'a [f32],
    /// `[panels, inputs]`.
    pub(super) panels: &'a [T],
    pub(super) inputs: usize,
    /// Where in the rows of `y` the first panel's columns begin.
    pub(super) at: usize,
    /// As many rows as `x` has; the last panel may reach beyond their ends.
    pub(super) y: &'a mut [&'b mut [f32]],
}

// === impl Part ===

impl Part for [f32; WIDTH] {
    #[inline(always)]
    fn widen(&self) -> [f32; WIDTH] {
        *self
    }
}

// === impl Pass ===

impl<T: Part> Pass<'_, '_, T> {
    /// Writes all sums.
    pub(super) fn run(self) {
        if self.inputs == 0 {
            self.y.iter_mut().for_each(|row| row[self.at..].fill(0.0));
            return;
        }
        Arch::new().dispatch(self);
    }

    /// With panels of `V` vectors.
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(self, simd: S) {
        let Self { x, panels, inputs, mut at, y } = self;
        for panels in panels.chunks(PANELS * inputs) {
            let mut x = x;
            for y in y.chunks_mut(ROWS) {
                let (these, rest) = x.split_at(y.len() * inputs);
                x = rest;
                match y.len() {
                    1 => panels_of::<S, T, 1, V>(simd, these, panels, at, y),
                    2 => panels_of::<S, T, 2, V>(simd, these, panels, at, y),
                    3 => panels_of::<S, T, 3, V>(simd, these, panels, at, y),
                    4 => panels_of::<S, T, 4, V>(simd, these, panels, at, y),
                    5 => panels_of::<S, T, 5, V>(simd, these, panels, at, y),
                    _ => panels_of::<S, T, 6, V>(simd, these, panels, at, y),
                }
            }
            at += PANELS * WIDTH;
        }
    }
}

impl<T: Part> WithSimd for Pass<'_, '_, T> {
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

/// `R` rows over one or two panels: both at once where registers suffice.
#[inline(always)]
fn panels_of<S: Simd, T: Part, const R: usize, const V: usize>(
    simd: S,
    x: &[f32],
    panels: &[T],
    at: usize,
    y: &mut [&mut [f32]],
) {
    let inputs = x.len() / R;
    match panels.split_at_checked(inputs) {
        Some((left, right)) if R <= 2 && right.len() == inputs => {
            sums::<S, T, R, V, 2>(simd, x, [left, right], at, y);
        }
        _ => {
            for (index, panel) in panels.chunks(inputs).enumerate() {
                sums::<S, T, R, V, 1>(simd, x, [panel], at + index * WIDTH, y);
            }
        }
    }
}

/// `R` rows over `P` panels, into the columns from `at` of `y`.
#[inline(always)]
fn sums<S: Simd, T: Part, const R: usize, const V: usize, const P: usize>(
    simd: S,
    x: &[f32],
    panels: [&[T]; P],
    at: usize,
    y: &mut [&mut [f32]],
) {
    let inputs = x.len() / R;
    let x: [&[f32]; R] = array::from_fn(|r| &x[r * inputs..][..inputs]);
    let panels: [&[T]; P] = array::from_fn(|p| &panels[p][..inputs]);
    let mut sums = [[[simd.splat_f32s(0.0); V]; P]; R];
    for k in 0..inputs {
        for p in 0..P {
            super::prefetch::ahead_of(&panels[p][k]);
            let weights = panels[p][k].widen();
            let weights = S::as_simd_f32s(&weights).0;
            for r in 0..R {
                let x = simd.splat_f32s(x[r][k]);
                for v in 0..V {
                    sums[r][p][v] = simd.mul_add_e_f32s(x, weights[v], sums[r][p][v]);
                }
            }
        }
    }
    for (row, sums) in y.iter_mut().zip(&sums) {
        let parts = row[at..].chunks_mut(S::F32_LANES);
        for (part, &sum) in parts.zip(sums.as_flattened()) {
            simd.partial_store_f32s(part, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::super::reference::{assert_close, numbers, product};
    use super::*;

    /// All columns of `w [inputs, outputs]`, in panels.
    fn panels(shape: Shape, w: &[f32]) -> Vec<[f32; WIDTH]> {
        let Shape { inputs, outputs, .. } = shape;
        let weight = |k: usize, n: usize| if n < outputs { w[k * outputs + n] } else { 0.0 };
        let starts = (0..outputs).step_by(WIDTH);
        starts.flat_map(|start| (0..inputs).map(move |k| array::from_fn(|n| weight(k, start + n)))).collect()
    }

    #[test]
    fn both_paths_equal_the_plain_product() {
        for (inputs, outputs) in [(1, 1), (33, 7), (32, 16), (65, 33), (100, 100)] {
            for rows in [0, 1, 2, 3, 4, 5, 6, 8, 13] {
                let shape = Shape { rows, inputs, outputs };
                let (x, w) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
                let (panels, expected) = (panels(shape, &w), product(shape, &x, &w));
                for portable in [false, true] {
                    let mut y = vec![f32::NAN; rows * outputs];
                    let mut rows: Vec<&mut [f32]> = y.chunks_mut(outputs).collect();
                    let pass = Pass { x: &x, panels: &panels, inputs, at: 0, y: &mut rows };
                    if portable {
                        pass.with_simd(pulp::Scalar::new())
                    } else {
                        pass.run()
                    }
                    assert_close(&y, &expected, 1e-5);
                }
            }
        }
    }
}
