//! With AVX2: 32 products in two instructions.
//!
//! Loops rather than closures: what is not inlined is not compiled for AVX2.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::super::activations::Block;
use super::super::tile::{COLUMNS, VECTORS};
use super::Arithmetic;

impl Arithmetic for V3 {
    #[inline(always)]
    fn eight<const R: usize>(self, tile: &[[i8; 32]; VECTORS], x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        let ones = self.avx._mm256_set1_epi16(1);
        let mut sums = [self.avx._mm256_setzero_si256(); R];
        for (j, vector) in tile.iter().enumerate() {
            let weights: __m256i = cast(*vector);
            // One factor must be unsigned: it takes the absolute value, and
            // the other one its sign. Two products stay below 2^15.
            let size = self.avx2._mm256_abs_epi8(weights);
            for (sum, x) in sums.iter_mut().zip(x) {
                let signed = self.avx2._mm256_sign_epi8(spread(self, x.values[j]), weights);
                let pairs = self.avx2._mm256_maddubs_epi16(size, signed);
                let fours = self.avx2._mm256_madd_epi16(pairs, ones);
                *sum = self.avx2._mm256_add_epi32(*sum, fours);
            }
        }
        let mut results = [[0; COLUMNS]; R];
        for (result, sum) in results.iter_mut().zip(sums) {
            *result = cast(sum);
        }
        results
    }

    #[inline(always)]
    fn four<const R: usize>(self, tile: &[[u8; 32]; VECTORS / 2], x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        let ones = self.avx._mm256_set1_epi16(1);
        let half = self.avx._mm256_set1_epi8(15);
        // All products of a block fit: 16 · 15 · 127 is below 2^15.
        let mut sums = [self.avx._mm256_setzero_si256(); R];
        for (j, vector) in tile.iter().enumerate() {
            let both: __m256i = cast(*vector);
            let lower = self.avx2._mm256_and_si256(both, half);
            let upper = self.avx2._mm256_and_si256(self.avx2._mm256_srli_epi16::<4>(both), half);
            for (sum, x) in sums.iter_mut().zip(x) {
                for (weights, x) in [(lower, x.values[j]), (upper, x.values[j + VECTORS / 2])] {
                    let pairs = self.avx2._mm256_maddubs_epi16(weights, spread(self, x));
                    *sum = self.avx2._mm256_add_epi16(*sum, pairs);
                }
            }
        }
        let mut results = [[0; COLUMNS]; R];
        for (result, sum) in results.iter_mut().zip(sums) {
            *result = cast(self.avx2._mm256_madd_epi16(sum, ones));
        }
        results
    }
}

/// The same four activations for every column.
#[inline(always)]
fn spread(simd: V3, x: [i8; 4]) -> __m256i {
    simd.avx._mm256_set1_epi32(i32::from_ne_bytes(x.map(|x| x as u8)))
}
