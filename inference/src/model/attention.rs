//! Grouped-query attention over the cache (Ainslie et al. 2023).
//!
//! Queries that share a key head are laid beside each other, as more rows of
//! that head, so keys and values are never repeated. The product itself is
//! Burn's fused attention where many rows are computed at once.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Int, Tensor, module};

use super::cache::Cache;
#[cfg(feature = "cpu")]
use super::host;
use super::linear::Linear;
use super::mask::Masks;
use super::norm::RmsNorm;
use super::rotary::RotaryRows;
use crate::engine::forward::Step;

/// The attention of one layer.
#[derive(Debug)]
pub(crate) struct Attention {
    /// Query, key and value beside each other:
    /// `[hidden, (heads + 2 · kv_heads) · head_dim]`.
    pub(crate) qkv: Linear,
    /// `[heads · head_dim, hidden]`
    pub(crate) output: Linear,
    /// Over each head of the queries and of the keys, where the family has it.
    pub(crate) qk_norm: Option<(RmsNorm, RmsNorm)>,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// How many positions a token sees, itself included.
    pub(crate) window: Option<usize>,
}

/// Consecutive tokens of one sequence.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) slot: usize,
    pub(super) start: usize,
    /// Positions of the cache to look at, enough for every token.
    pub(super) length: usize,
    pub(super) rotary: RotaryRows,
    pub(super) masks: Masks,
}

/// One token of each of several sequences.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) steps: Vec<Step>,
    pub(super) rotary: RotaryRows,
    /// What a device needs that computes them all at once; none on the host.
    pub(super) gathered: Option<Gathered>,
}

/// A batch as a device needs it.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Positions of the cache to look at, enough for every row.
    pub(super) length: usize,
    /// `[rows]`
    pub(super) slots: Tensor<1, Int>,
    /// `[rows, kv_heads, 3]`: where each row is written.
    pub(super) coordinates: Tensor<3, Int>,
    pub(super) masks: Masks,
}

// === impl Attention ===

impl Attention {
    /// `[rows, hidden] → [rows, hidden]`
    pub(super) fn prefill(&self, x: Tensor<2>, cache: &mut Cache, run: &Run) -> Tensor<2> {
        let [rows, _] = x.dims();
        let (queries, keys, values) = self.project(x, &run.rotary);
        cache.write_run(run.slot, run.start, keys, values);
        let (keys, values) = cache.slot(run.slot, run.length);
        let group = self.heads / self.kv_heads;
        // [rows, heads, d] → [1, kv_heads, group · rows, d]
        let queries = queries.reshape([rows, self.kv_heads, group, self.head_dim]).permute([1, 2, 0, 3]).reshape([
            1,
            self.kv_heads,
            group * rows,
            self.head_dim,
        ]);
        let context = self.attend(queries, keys, values, &run.masks);
        let context = context
            .reshape([self.kv_heads, group, rows, self.head_dim])
            .permute([2, 0, 1, 3])
            .reshape([rows, self.heads * self.head_dim]);
        self.output.forward(context)
    }

    /// `[rows, hidden] → [rows, hidden]`
    pub(super) fn decode(&self, x: Tensor<2>, cache: &mut Cache, batch: &Batch) -> Tensor<2> {
        let (queries, keys, values) = self.project(x, &batch.rotary);
        let context = match &batch.gathered {
            Some(gathered) => self.decode_at_once(queries, keys, values, cache, gathered),
            #[cfg(feature = "cpu")]
            None => self.decode_in_place(queries, &keys, &values, cache, &batch.steps),
            #[cfg(not(feature = "cpu"))]
            None => unreachable!("only the host computes in place"),
        };
        self.output.forward(context)
    }

    /// `[rows, hidden]` → queries `[rows, heads, head_dim]`, keys and values
    /// `[rows, kv_heads, head_dim]`.
    fn project(&self, x: Tensor<2>, rotary: &RotaryRows) -> (Tensor<3>, Tensor<3>, Tensor<3>) {
        let [rows, _] = x.dims();
        let qkv = self.qkv.forward(x);
        let head_dim = self.head_dim;
        let part = |from: usize, heads: usize| {
            qkv.clone().slice([0..rows, from * head_dim..(from + heads) * head_dim]).reshape([rows, heads, head_dim])
        };
        let mut queries = part(0, self.heads);
        let mut keys = part(self.heads, self.kv_heads);
        let values = part(self.heads + self.kv_heads, self.kv_heads);
        if let Some((query_norm, key_norm)) = &self.qk_norm {
            queries = query_norm.forward(queries);
            keys = key_norm.forward(keys);
        }
        (rotary.rotate(queries), rotary.rotate(keys), values)
    }

    /// Queries `[batch, kv_heads, rows, head_dim]`, keys and values
    /// `[batch, kv_heads, length, head_dim]` → `[batch, kv_heads, rows, head_dim]`.
    fn attend(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, masks: &Masks) -> Tensor<4> {
        let mask = masks.of(self.window);
        // Scaled before they are multiplied: in half precision, products of
        // some models' queries and keys overflow.
        #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred values")]
        let queries = queries.mul_scalar((self.head_dim as f32).sqrt().recip());
        let options = AttentionModuleOptions { scale: Some(1.0), ..AttentionModuleOptions::default() };
        module::attention(queries, keys, values, Some(mask), None, options)
    }

    /// All rows in one computation, each with its own part of the cache masked.
    fn decode_at_once(
        &self,
        queries: Tensor<3>,
        keys: Tensor<3>,
        values: Tensor<3>,
        cache: &mut Cache,
        gathered: &Gathered,
    ) -> Tensor<2> {
        let [rows, _, _] = queries.dims();
        cache.scatter(&gathered.coordinates, keys, values);
        let (keys, values) = cache.select(&gathered.slots, gathered.length);
        let group = self.heads / self.kv_heads;
        let queries = queries.reshape([rows, self.kv_heads, group, self.head_dim]);
        let context = self.attend(queries, keys, values, &gathered.masks);
        context.reshape([rows, self.heads * self.head_dim])
    }

    /// Each row over the cache where it lies.
    #[cfg(feature = "cpu")]
    fn decode_in_place(
        &self,
        queries: Tensor<3>,
        keys: &Tensor<3>,
        values: &Tensor<3>,
        cache: &mut Cache,
        steps: &[Step],
    ) -> Tensor<2> {
        let row = |rows: &Tensor<3>, at: usize| rows.clone().narrow(0, at, 1);
        for (at, step) in steps.iter().enumerate() {
            cache.write_run(step.slot, step.position, row(keys, at), row(values, at));
        }
        host::cached_attention(queries, cache.whole(), steps, self.window)
    }
}
