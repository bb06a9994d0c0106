//! Rows of activations in eight bits.

use super::BLOCK;

/// The whole numbers of one block and what they are multiples of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Four inputs together, as a tile has them.
    pub(super) values: [[i8; 4]; BLOCK / 4],
    /// The block's largest activation over 127.
    pub(super) scale: f32,
    /// The sum of the values.
    pub(super) sum: i32,
}

/// Rows of blocks; what is missing of the last block is zero.
#[derive(Debug)]
pub(super) struct Activations {
    blocks: Vec<Block>,
    per_row: usize,
}

// === impl Activations ===

impl Activations {
    /// Quantises `x [rows, inputs]`.
    pub(super) fn quantize(x: &[f32], rows: usize, inputs: usize) -> Self {
        let per_row = inputs.div_ceil(BLOCK);
        let mut blocks = Vec::with_capacity(rows * per_row);
        for row in x.chunks(inputs.max(1)) {
            let (whole, rest) = row.as_chunks::<BLOCK>();
            blocks.extend(whole.iter().map(Block::quantize));
            if !rest.is_empty() {
                let mut last = [0.0; BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                blocks.push(Block::quantize(&last));
            }
        }
        Self { blocks, per_row }
    }

    /// The blocks of one row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[Block] {
        &self.blocks[row * self.per_row..][..self.per_row]
    }
}

// === impl Block ===

impl Block {
    fn quantize(x: &[f32; BLOCK]) -> Self {
        let largest = x.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        // A block too small to have a scale counts as zero.
        let inverse = if scale.is_normal() { 127.0 / largest } else { 0.0 };
        let mut values = [[0; 4]; BLOCK / 4];
        let mut sum = 0;
        for (value, x) in values.as_flattened_mut().iter_mut().zip(x) {
            *value = nearest(x * inverse);
            sum += i32::from(*value);
        }
        Self { values, scale, sum }
    }
}

/// The whole number that is nearest to `x`, which is within ±127; even ones
/// where two are as near.
#[inline(always)]
pub(super) fn nearest(x: f32) -> i8 {
    /// Where `f32` has no more room for a fraction: adding it rounds.
    const ROUND: f32 = 12_582_912.0;
    // The lowest byte of the mantissa is the number in two's complement.
    (x.clamp(-127.0, 127.0) + ROUND).to_bits() as i8
}
