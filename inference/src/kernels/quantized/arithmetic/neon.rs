//! With NEON: 16 products in two instructions.

use std::arch::aarch64::{int8x16_t, int16x8_t, int32x4_t, uint8x16_t};

use pulp::aarch64::Neon;
use pulp::{NullaryFnOnce, cast};

use super::super::activations::Block;
use super::super::tile::{COLUMNS, VECTORS};
use super::{Arithmetic, Operation};

/// An operation that runs with NEON.
pub(super) struct Run<O> {
    pub(super) simd: Neon,
    pub(super) operation: O,
}

impl<O: Operation> NullaryFnOnce for Run<O> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.operation.run(self.simd);
    }
}

/// Sums of eight columns: two vectors of two columns, four inputs apart in
/// each, for the lower and for the upper four columns.
type Sums = [[int32x4_t; 2]; 2];

impl Arithmetic for Neon {
    #[inline(always)]
    fn eight<const R: usize>(self, tile: &[[i8; 32]; VECTORS], x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        let mut sums = [zero(self); R];
        for (j, pair) in tile.as_chunks::<2>().0.iter().enumerate() {
            let [even, odd]: [[int8x16_t; 2]; 2] = cast(*pair);
            for (sums, x) in sums.iter_mut().zip(x) {
                let (first, second) = (spread(self, x.values[2 * j]), spread(self, x.values[2 * j + 1]));
                for half in 0..2 {
                    // Two products stay below 2^15.
                    let low = mul_low(self, even[half], first);
                    let low = add_low(self, low, odd[half], second);
                    let high = mul_high(self, even[half], first);
                    let high = add_high(self, high, odd[half], second);
                    sums[half][0] = self.neon.vpadalq_s16(sums[half][0], low);
                    sums[half][1] = self.neon.vpadalq_s16(sums[half][1], high);
                }
            }
        }
        let mut results = [[0; COLUMNS]; R];
        for (result, sums) in results.iter_mut().zip(sums) {
            *result = join(self, sums);
        }
        results
    }

    #[inline(always)]
    fn four<const R: usize>(self, tile: &[[u8; 32]; VECTORS / 2], x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        let mask = self.neon.vdupq_n_u8(15);
        let mut sums = [zero(self); R];
        for (j, vector) in tile.iter().enumerate() {
            let both: [uint8x16_t; 2] = cast(*vector);
            let lower: [int8x16_t; 2] = both.map(|both| cast(self.neon.vandq_u8(both, mask)));
            let upper: [int8x16_t; 2] = both.map(|both| cast(self.neon.vshrq_n_u8::<4>(both)));
            for (sums, x) in sums.iter_mut().zip(x) {
                let first = spread(self, x.values[j]);
                let second = spread(self, x.values[j + VECTORS / 2]);
                for half in 0..2 {
                    let low = mul_low(self, lower[half], first);
                    let low = add_low(self, low, upper[half], second);
                    let high = mul_high(self, lower[half], first);
                    let high = add_high(self, high, upper[half], second);
                    sums[half][0] = self.neon.vpadalq_s16(sums[half][0], low);
                    sums[half][1] = self.neon.vpadalq_s16(sums[half][1], high);
                }
            }
        }
        let mut results = [[0; COLUMNS]; R];
        for (result, sums) in results.iter_mut().zip(sums) {
            *result = join(self, sums);
        }
        results
    }
}

#[inline(always)]
fn zero(simd: Neon) -> Sums {
    [[simd.neon.vdupq_n_s32(0); 2]; 2]
}

/// The same four activations for every column.
#[inline(always)]
fn spread(simd: Neon, x: [i8; 4]) -> int8x16_t {
    cast(simd.neon.vdupq_n_s32(i32::from_ne_bytes(x.map(|x| x as u8))))
}

/// The products of the lower two columns.
#[inline(always)]
fn mul_low(simd: Neon, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    simd.neon.vmull_s8(simd.neon.vget_low_s8(a), simd.neon.vget_low_s8(b))
}

/// Adds the products of the lower two columns.
#[inline(always)]
fn add_low(simd: Neon, sum: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    simd.neon.vmlal_s8(sum, simd.neon.vget_low_s8(a), simd.neon.vget_low_s8(b))
}

/// The products of the upper two columns.
#[inline(always)]
fn mul_high(simd: Neon, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    simd.neon.vmull_high_s8(a, b)
}

/// Adds the products of the upper two columns.
#[inline(always)]
fn add_high(simd: Neon, sum: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    simd.neon.vmlal_high_s8(sum, a, b)
}

/// One sum for each column.
#[inline(always)]
fn join(simd: Neon, sums: Sums) -> [i32; COLUMNS] {
    cast(sums.map(|[low, high]| simd.neon.vpaddq_s32(low, high)))
}
