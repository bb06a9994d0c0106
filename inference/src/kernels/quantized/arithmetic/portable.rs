//! Without vector instructions of its own; the compiler finds some.

use super::super::activations::Block;
use super::super::tile::{COLUMNS, VECTORS};
use super::Arithmetic;

/// What every processor can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Arithmetic for Portable {
    #[inline(always)]
    fn eight<const R: usize>(self, tile: &[[i8; 32]; VECTORS], x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        x.map(|x| {
            let mut sums = [0; COLUMNS];
            for (vector, x) in tile.iter().zip(&x.values) {
                for (sum, weights) in sums.iter_mut().zip(vector.as_chunks::<4>().0) {
                    *sum += dot(weights.map(i32::from), x);
                }
            }
            sums
        })
    }

    #[inline(always)]
    fn four<const R: usize>(self, tile: &[[u8; 32]; VECTORS / 2], x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        x.map(|x| {
            let (lower, upper) = x.values.split_at(VECTORS / 2);
            let mut sums = [0; COLUMNS];
            for ((vector, lower), upper) in tile.iter().zip(lower).zip(upper) {
                for (sum, weights) in sums.iter_mut().zip(vector.as_chunks::<4>().0) {
                    *sum += dot(weights.map(|byte| i32::from(byte & 15)), lower);
                    *sum += dot(weights.map(|byte| i32::from(byte >> 4)), upper);
                }
            }
            sums
        })
    }
}

#[inline(always)]
fn dot(weights: [i32; 4], x: &[i8; 4]) -> i32 {
    (0..4).map(|k| weights[k] * i32::from(x[k])).sum()
}
