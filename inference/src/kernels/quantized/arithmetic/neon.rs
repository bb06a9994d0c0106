//! With NEON: 16 products in two instructions.

use std::arch::aarch64::{int8x16_t, int16x8_t, int32x4_t, uint8x16_t};

use pulp::aarch64::Neon;
use pulp::cast;

use super::super::activations::Block;
use super::super::tile::{COLUMNS, VECTORS};
use super::Arithmetic;

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
                add(self, sums, (even, first), (odd, second));
            }
        }
        join(self, sums)
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
                add(self, sums, (lower, first), (upper, second));
            }
        }
        join(self, sums)
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

/// Adds the products of twice four inputs of every column; the sum of two
/// products stays below 2^15.
#[inline(always)]
fn add(simd: Neon, sums: &mut Sums, (a, x): ([int8x16_t; 2], int8x16_t), (b, y): ([int8x16_t; 2], int8x16_t)) {
    for half in 0..2 {
        let low = add_low(simd, mul_low(simd, a[half], x), b[half], y);
        let high = add_high(simd, mul_high(simd, a[half], x), b[half], y);
        sums[half][0] = simd.neon.vpadalq_s16(sums[half][0], low);
        sums[half][1] = simd.neon.vpadalq_s16(sums[half][1], high);
    }
}

/// One sum for each column of each row.
#[inline(always)]
fn join<const R: usize>(simd: Neon, sums: [Sums; R]) -> [[i32; COLUMNS]; R] {
    let mut results = [[0; COLUMNS]; R];
    for (result, sums) in results.iter_mut().zip(sums) {
        *result = cast(sums.map(|[low, high]| simd.neon.vpaddq_s32(low, high)));
    }
    results
}
