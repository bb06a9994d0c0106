//! The decoder-only transformer that every supported family is.
//!
//! Activations are `[rows, features]`: a row is one token, of one sequence
//! during prefill, of as many sequences as there are rows during decode. What
//! families differ in (biases, norms of queries and keys, windows, the rotary
//! table) is data of the checkpoint's configuration, not a type of its own.

mod attention;
mod block;
mod cache;
mod embedding;
mod feed_forward;
#[cfg(feature = "cpu")]
mod host;
mod linear;
mod mask;
mod norm;
mod rotary;

use std::iter;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use self::attention::{Batch, Gathered, Run};
use self::mask::Masks;
use crate::engine::forward::{Forward, MOST_TOKENS, Step};
#[cfg(feature = "cpu")]
use crate::pool;

pub(crate) use self::attention::Attention;
pub(crate) use self::block::Block;
pub(crate) use self::cache::Cache;
pub(crate) use self::embedding::Embedding;
pub(crate) use self::feed_forward::FeedForward;
pub(crate) use self::linear::{Linear, Matrix};
pub(crate) use self::norm::RmsNorm;
pub(crate) use self::rotary::Rotary;

/// Lengths of the cache that a device is asked to look at are multiples of
/// this, so that it meets few different shapes.
const LENGTH_STEP: usize = 64;

/// A loaded model with room for the sequences it works on.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) device: Device,
    /// Whether the kernels of the CPU compute, each row over the cache where it
    /// lies; a device computes all rows at once.
    pub(crate) on_host: bool,
    /// Of the activations.
    pub(crate) dtype: DType,
    pub(crate) embedding: Embedding,
    /// The layers, each with its cache.
    pub(crate) layers: Vec<(Block, Cache)>,
    pub(crate) norm: RmsNorm,
    /// `[hidden, vocabulary]`
    pub(crate) head: Matrix,
    pub(crate) rotary: Rotary,
    pub(crate) slots: usize,
    pub(crate) context_length: usize,
}

// === impl Decoder ===

impl Decoder {
    /// Computes once what will be computed often: devices compile and choose
    /// their kernels at first use, and nobody should wait for that. What it
    /// writes to the cache is overwritten before it is read.
    pub(crate) fn warm_up(&mut self) {
        if self.on_host {
            return;
        }
        // Devices choose by length, too, rounded to powers of two.
        let doubled = iter::successors(Some(LENGTH_STEP), |length| Some(length * 2));
        let most = self.context_length;
        let lengths: Vec<usize> = doubled.take_while(|length| *length < most).chain([most]).collect();
        for rows in (1..=MOST_TOKENS.min(most)).filter(|rows| rows.is_power_of_two()) {
            for length in lengths.iter().filter(|length| **length >= rows) {
                let _ = self.prefill(0, length - rows, &vec![0; rows], true);
            }
        }
        let batches: Vec<usize> = (1..=self.slots).filter(|batch| self.bucket(*batch, self.slots) == *batch).collect();
        for batch in batches {
            for position in lengths.iter().map(|length| length - 1) {
                let steps: Vec<Step> = (0..batch).map(|slot| Step { slot, position, token: 0 }).collect();
                let _ = self.decode(&steps);
            }
        }
    }

    /// How many rows are computed where `rows` are wanted and there may be
    /// `most`. A device compiles and chooses its kernels by shape: it meets
    /// powers of two, and others only where there is no room for one.
    fn bucket(&self, rows: usize, most: usize) -> usize {
        if self.on_host { rows } else { rows.next_power_of_two().min(most) }
    }

    /// How many positions of the cache are looked at where `positions` are
    /// wanted.
    fn reach(&self, positions: usize) -> usize {
        if self.on_host { positions } else { positions.next_multiple_of(LENGTH_STEP).min(self.context_length) }
    }

    /// Where the kernels of the CPU compute, on their threads from the start:
    /// handing over to them once for each would cost more than some of them do.
    fn on_its_threads<R: Send>(&mut self, compute: impl FnOnce(&mut Self) -> R + Send) -> R {
        #[cfg(feature = "cpu")]
        if self.on_host {
            return pool::install(|| compute(self));
        }
        compute(self)
    }

    /// See [`Forward::prefill`].
    fn run(&mut self, slot: usize, start: usize, tokens: &[u32], wanted: bool) -> Option<Vec<f32>> {
        // What rows too many write to the cache is overwritten before any token
        // may look at it.
        let rows = self.bucket(tokens.len(), self.context_length - start);
        let length = self.reach(start + rows);
        let run = Run {
            slot,
            start,
            length,
            rotary: self.rotary.range(start..start + rows),
            masks: Masks::run(&self.windows(), self.grouping().0, start..start + rows, length, &self.device),
        };
        let mut padded = tokens.to_vec();
        padded.resize(rows, 0);
        let mut x = self.embedding.forward(&padded, &self.device, self.dtype);
        for (block, cache) in &mut self.layers {
            x = block.prefill(x, cache, &run);
        }
        if wanted {
            return Some(self.logits(x.narrow(0, tokens.len() - 1, 1)));
        }
        // Work that only piles up could neither be timed nor cancelled.
        self.device.sync().expect("a device that fails panics, and the engine begins anew");
        None
    }

    /// See [`Forward::decode`].
    fn step(&mut self, steps: &[Step]) -> Vec<Vec<f32>> {
        // One row several times writes the same to the same place.
        let mut padded = steps.to_vec();
        padded.resize(self.bucket(steps.len(), self.slots), *steps.last().expect("nobody computes nothing"));
        let batch = self.batch(&padded);
        let tokens: Vec<u32> = padded.iter().map(|step| step.token).collect();
        let mut x = self.embedding.forward(&tokens, &self.device, self.dtype);
        for (block, cache) in &mut self.layers {
            x = block.decode(x, cache, &batch);
        }
        let logits = self.logits(x);
        let vocabulary = logits.len() / padded.len();
        logits.chunks(vocabulary).take(steps.len()).map(<[f32]>::to_vec).collect()
    }

    /// The logits of every row: `[rows, hidden] → rows × [vocabulary]`.
    fn logits(&self, x: Tensor<2>) -> Vec<f32> {
        let logits = self.head.forward(self.norm.forward(x));
        let data = logits.into_data_as::<f32>();
        data.try_to_vec().expect("the logits were asked for in this type")
    }

    /// The windows among the layers.
    fn windows(&self) -> Vec<Option<usize>> {
        self.layers.iter().map(|(block, _)| block.attention.window).collect()
    }

    /// Queries that share a key head, and the key heads.
    fn grouping(&self) -> (usize, usize) {
        self.layers.first().map_or((1, 1), |(block, _)| {
            let attention = &block.attention;
            (attention.heads / attention.kv_heads, attention.kv_heads)
        })
    }

    fn batch(&self, steps: &[Step]) -> Batch {
        let positions: Vec<usize> = steps.iter().map(|step| step.position).collect();
        let rotary = self.rotary.select(&integers(positions.iter().map(|p| integer(*p)).collect(), &self.device));
        let gathered = (!self.on_host).then(|| {
            let (group, kv_heads) = self.grouping();
            let furthest = positions.iter().max().map_or(0, |position| position + 1);
            let length = self.reach(furthest);
            let coordinates = steps
                .iter()
                .flat_map(|step| (0..kv_heads).flat_map(|head| [step.slot, head, step.position]))
                .map(integer)
                .collect();
            Gathered {
                length,
                slots: integers(steps.iter().map(|step| integer(step.slot)).collect(), &self.device),
                coordinates: integers(coordinates, &self.device).reshape([steps.len(), kv_heads, 3]),
                masks: Masks::rows(&self.windows(), group, &positions, length, &self.device),
            }
        });
        Batch { steps: steps.to_vec(), rotary, gathered }
    }
}

impl Forward for Decoder {
    fn slots(&self) -> usize {
        self.slots
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn prefill(&mut self, slot: usize, start: usize, tokens: &[u32], wanted: bool) -> Option<Vec<f32>> {
        self.on_its_threads(|decoder| decoder.run(slot, start, tokens, wanted))
    }

    fn decode(&mut self, steps: &[Step]) -> Vec<Vec<f32>> {
        self.on_its_threads(|decoder| decoder.step(steps))
    }
}

/// `[values]`
fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), (device, DType::I32))
}

/// Slots, positions and heads are far below what an index may be.
fn integer(value: usize) -> i32 {
    i32::try_from(value).expect("indices fit 31 bits")
}

#[cfg(test)]
mod tests;
