//! One block of eight columns, in eight or four bits.
//!
//! The numbers lie as the arithmetic wants them: a vector of 32 bytes has four
//! inputs of each of eight columns, side by side, and meets the same four
//! activations in every column.

use std::array;
use std::fmt::Debug;

use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable};
use half::bf16;

use super::BLOCK;
use super::activations::{Block, nearest};
use super::arithmetic::Arithmetic;

/// Columns of a tile.
pub(super) const COLUMNS: usize = 8;

/// Vectors of 32 bytes that 32 inputs of eight columns take in eight bits.
pub(super) const VECTORS: usize = BLOCK / 4;

/// Scales of the columns of a tile, as the bits of `bf16`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Scales([u16; COLUMNS]);

/// Eight bits: -127 to 127.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Eight([[i8; 32]; VECTORS]);

/// Four bits: -8 to 7, as 0 to 15. The lower halves of a vector are four
/// inputs of the first half of the block, the upper ones of the second.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Four([[u8; 32]; VECTORS / 2]);

/// A way to keep one block of eight columns.
pub(crate) trait Tile: AnyBitPattern + NoUninit + Debug + Send + Sync {
    /// Quantises `weight(input, column)`.
    fn pack(weight: impl Fn(usize, usize) -> f32) -> (Self, Scales);

    /// One number.
    fn get(&self, input: usize, column: usize) -> i8;

    /// The sums of products over the inputs of each column, for several rows.
    fn dot<A: Arithmetic, const R: usize>(&self, arithmetic: A, x: [&Block; R]) -> [[i32; COLUMNS]; R];
}

// === impl Scales ===

impl Scales {
    /// In `f32`.
    #[inline(always)]
    pub(super) fn widen(&self) -> [f32; COLUMNS] {
        array::from_fn(|n| self.get(n))
    }

    /// One of them, in `f32`.
    #[inline(always)]
    pub(super) fn get(&self, column: usize) -> f32 {
        f32::from_bits(u32::from(self.0[column]) << 16)
    }

    /// Keeps the scale of a column; returns it as it is kept, which is no
    /// smaller.
    fn set(&mut self, column: usize, scale: f32) -> f32 {
        let below = bf16::from_bits((scale.to_bits() >> 16) as u16);
        let kept = if below.to_f32() == scale { below.to_bits() } else { below.to_bits() + 1 };
        self.0[column] = kept;
        self.get(column)
    }
}

// === impl Eight ===

impl Tile for Eight {
    fn pack(weight: impl Fn(usize, usize) -> f32) -> (Self, Scales) {
        let mut tile = Self([[0; 32]; VECTORS]);
        let mut scales = Scales::default();
        for n in 0..COLUMNS {
            let block: [f32; BLOCK] = array::from_fn(|k| weight(k, n));
            let largest = largest(&block);
            let inverse = inverse(scales.set(n, largest.abs() / 127.0));
            for (k, weight) in block.iter().enumerate() {
                tile.0[k / 4][n * 4 + k % 4] = nearest(weight * inverse);
            }
        }
        (tile, scales)
    }

    #[inline(always)]
    fn get(&self, input: usize, column: usize) -> i8 {
        self.0[input / 4][column * 4 + input % 4]
    }

    #[inline(always)]
    fn dot<A: Arithmetic, const R: usize>(&self, arithmetic: A, x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        arithmetic.eight(&self.0, x)
    }
}

// === impl Four ===

impl Tile for Four {
    fn pack(weight: impl Fn(usize, usize) -> f32) -> (Self, Scales) {
        let mut tile = Self([[0; 32]; VECTORS / 2]);
        let mut scales = Scales::default();
        for n in 0..COLUMNS {
            let block: [f32; BLOCK] = array::from_fn(|k| weight(k, n));
            // There is one number more below zero than above: the largest
            // weight becomes -8, and a scale below zero makes it positive.
            let largest = largest(&block);
            let inverse = inverse(scales.set(n, largest / -8.0));
            for (k, weight) in block.iter().enumerate() {
                let number = (nearest(weight * inverse).clamp(-8, 7) + 8) as u8;
                let (vector, upper) = (k / 4 % (VECTORS / 2), k >= BLOCK / 2);
                tile.0[vector][n * 4 + k % 4] |= number << (4 * u32::from(upper));
            }
        }
        (tile, scales)
    }

    #[inline(always)]
    fn get(&self, input: usize, column: usize) -> i8 {
        let byte = self.0[input / 4 % (VECTORS / 2)][column * 4 + input % 4];
        let number = if input < BLOCK / 2 { byte & 15 } else { byte >> 4 };
        number as i8 - 8
    }

    #[inline(always)]
    fn dot<A: Arithmetic, const R: usize>(&self, arithmetic: A, x: [&Block; R]) -> [[i32; COLUMNS]; R] {
        let mut sums = arithmetic.four(&self.0, x);
        for (sums, x) in sums.iter_mut().zip(x) {
            for sum in sums {
                *sum -= 8 * x.sum;
            }
        }
        sums
    }
}

/// The weight that is farthest from zero.
fn largest(block: &[f32; BLOCK]) -> f32 {
    block.iter().fold(0.0, |largest, &weight| if weight.abs() > largest.abs() { weight } else { largest })
}

/// One over a scale; zero where the scale is too small to have one.
fn inverse(scale: f32) -> f32 {
    if scale.is_normal() { 1.0 / scale } else { 0.0 }
}
