//! Attention of one new token of each sequence over what its cache holds.
//!
//! The cache is read in place, once for all query heads that share a key-value
//! head.

mod head;

use pulp::Arch;
use rayon::prelude::*;

use head::Head;

/// Bytes of cache below which everything stays on one thread.
const WORTH_A_THREAD: usize = 128 * 1024;

/// The cache of one layer, and how it is attended to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention<'a> {
    /// `[slots, kv_heads, max, dim]`.
    pub(crate) keys: &'a [f32],
    /// `[slots, kv_heads, max, dim]`.
    pub(crate) values: &'a [f32],
    /// Key-value heads.
    pub(crate) kv_heads: usize,
    /// Query heads that share a key-value head.
    pub(crate) group: usize,
    /// Positions of a slot.
    pub(crate) max: usize,
    /// Values of a head.
    pub(crate) dim: usize,
    /// How many of the latest positions count, the new one included; all when
    /// there is no window.
    pub(crate) window: Option<usize>,
    /// Multiplies products of queries and keys.
    pub(crate) scale: f32,
}

/// A token that attends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Whose cache.
    pub(crate) slot: usize,
    /// Positions that it sees, its own included: those below this.
    pub(crate) length: usize,
}

// === impl Attention ===

impl Attention<'_> {
    /// Computes what each token of `queries` finds: `q` and `out` are
    /// `[queries, kv_heads, group, dim]`. A token that sees no position finds
    /// zeros.
    ///
    /// # Panics
    ///
    /// When a slice is not as long as its shape says, or a slot or a length is
    /// outside of the cache.
    pub(crate) fn attend(&self, queries: &[Query], q: &[f32], out: &mut [f32]) {
        let size = self.group * self.dim;
        assert_eq!(q.len(), queries.len() * self.kv_heads * size, "queries are [queries, heads, dim]");
        assert_eq!(out.len(), q.len(), "results are [queries, heads, dim]");
        assert_eq!(self.keys.len(), self.values.len(), "keys and values are of one shape");
        if size == 0 {
            return;
        }
        let heads = |(index, out): (usize, &mut [f32])| {
            let query = queries[index / self.kv_heads];
            self.head(query, index % self.kv_heads, &q[index * size..][..size], out);
        };
        let seen: usize = queries.iter().map(|query| self.seen(*query).len()).sum();
        let bytes = 2 * size_of::<f32>() * seen * self.kv_heads * self.dim;
        if bytes < 2 * WORTH_A_THREAD || rayon::current_num_threads() == 1 {
            out.chunks_exact_mut(size).enumerate().for_each(heads);
        } else {
            out.par_chunks_exact_mut(size).enumerate().for_each(heads);
        }
    }

    /// The positions that a token attends to.
    fn seen(&self, query: Query) -> std::ops::Range<usize> {
        let window = self.window.unwrap_or(query.length);
        query.length.saturating_sub(window)..query.length
    }

    /// The query heads that share one key-value head.
    fn head(&self, query: Query, kv_head: usize, q: &[f32], out: &mut [f32]) {
        assert!(query.length <= self.max, "a sequence is no longer than its slot");
        let seen = self.seen(query);
        let start = (query.slot * self.kv_heads + kv_head) * self.max * self.dim;
        let part = start + seen.start * self.dim..start + seen.end * self.dim;
        Arch::new().dispatch(Head {
            keys: &self.keys[part.clone()],
            values: &self.values[part],
            dim: self.dim,
            scale: self.scale,
            q,
            out,
        });
    }
}

#[cfg(test)]
mod tests;
