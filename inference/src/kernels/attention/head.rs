//! The queries of one key-value head.

use std::array;

use pulp::{Simd, WithSimd};

use super::super::exponential::exp;

/// Positions whose products are summed up side by side.
const SIDE_BY_SIDE: usize = 4;

/// Some queries, and the keys and values that they see.
pub(super) struct Head<'a> {
    /// `[positions, dim]`.
    pub(super) keys: &'a [f32],
    /// `[positions, dim]`.
    pub(super) values: &'a [f32],
    pub(super) dim: usize,
    pub(super) scale: f32,
    /// `[group, dim]`.
    pub(super) q: &'a [f32],
    /// `[group, dim]`.
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { keys, values, dim, scale, q, out } = self;
        out.fill(0.0);
        let positions = keys.len() / dim;
        if positions == 0 {
            return;
        }
        let mut weights = vec![0.0; q.len() / dim * positions];
        products(simd, keys, dim, scale, q, &mut weights);
        for weights in weights.chunks_exact_mut(positions) {
            softmax(simd, weights);
        }
        sums(simd, values, dim, &weights, out);
    }
}

/// Writes `scale · q · k` of each query and position to `weights
/// [group, positions]`.
#[inline(always)]
fn products<S: Simd>(simd: S, keys: &[f32], dim: usize, scale: f32, q: &[f32], weights: &mut [f32]) {
    let positions = keys.len() / dim;
    for at in (0..positions).step_by(SIDE_BY_SIDE) {
        let keys = &keys[at * dim..];
        let count = (positions - at).min(SIDE_BY_SIDE);
        // Fewer than four at the end: the last is multiplied again.
        let keys: [&[f32]; SIDE_BY_SIDE] = array::from_fn(|i| &keys[i.min(count - 1) * dim..][..dim]);
        for (q, weights) in q.chunks_exact(dim).zip(weights.chunks_exact_mut(positions)) {
            let products = dots(simd, q, keys);
            for (weight, product) in weights[at..at + count].iter_mut().zip(products) {
                *weight = product * scale;
            }
        }
    }
}

/// The products of a query and some keys.
#[inline(always)]
fn dots<S: Simd>(simd: S, q: &[f32], keys: [&[f32]; SIDE_BY_SIDE]) -> [f32; SIDE_BY_SIDE] {
    let (q, q_rest) = S::as_simd_f32s(q);
    let keys: [(&[S::f32s], &[f32]); SIDE_BY_SIDE] = array::from_fn(|i| {
        let (keys, rest) = S::as_simd_f32s(keys[i]);
        (&keys[..q.len()], &rest[..q_rest.len()])
    });
    let mut sums = [simd.splat_f32s(0.0); SIDE_BY_SIDE];
    for (v, &q) in q.iter().enumerate() {
        for i in 0..SIDE_BY_SIDE {
            sums[i] = simd.mul_add_e_f32s(q, keys[i].0[v], sums[i]);
        }
    }
    let mut products = [0.0; SIDE_BY_SIDE];
    for i in 0..SIDE_BY_SIDE {
        products[i] = simd.reduce_sum_f32s(sums[i]);
        for (q, key) in q_rest.iter().zip(keys[i].1) {
            products[i] += q * key;
        }
    }
    products
}

/// Makes weights of products: positive, and one together.
#[inline(always)]
fn softmax<S: Simd>(simd: S, weights: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(weights);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for vector in &*vectors {
        largest = simd.max_f32s(largest, *vector);
    }
    let largest = rest.iter().fold(simd.reduce_max_f32s(largest), |most, &x| most.max(x));
    let largest = simd.splat_f32s(largest);
    let mut sum = simd.splat_f32s(0.0);
    for vector in &mut *vectors {
        *vector = exp(simd, simd.sub_f32s(*vector, largest));
        sum = simd.add_f32s(sum, *vector);
    }
    let mut sum = simd.reduce_sum_f32s(sum);
    let x = exp(simd, simd.sub_f32s(simd.partial_load_f32s(rest), largest));
    simd.partial_store_f32s(rest, x);
    sum += rest.iter().sum::<f32>();
    let inverse = simd.splat_f32s(1.0 / sum);
    for vector in vectors {
        *vector = simd.mul_f32s(*vector, inverse);
    }
    let x = simd.mul_f32s(simd.partial_load_f32s(rest), inverse);
    simd.partial_store_f32s(rest, x);
}

/// Adds up the values of all positions by their weights.
#[inline(always)]
fn sums<S: Simd>(simd: S, values: &[f32], dim: usize, weights: &[f32], out: &mut [f32]) {
    let positions = values.len() / dim;
    let mut at = 0;
    for values in values.chunks(SIDE_BY_SIDE * dim) {
        for (out, weights) in out.chunks_exact_mut(dim).zip(weights.chunks_exact(positions)) {
            match *values {
                [] => {}
                _ if values.len() == SIDE_BY_SIDE * dim => {
                    let weights = array::from_fn(|i| weights[at + i]);
                    add::<S, SIDE_BY_SIDE>(simd, values, weights, out);
                }
                _ => {
                    for (i, values) in values.chunks_exact(dim).enumerate() {
                        add(simd, values, [weights[at + i]], out);
                    }
                }
            }
        }
        at += SIDE_BY_SIDE;
    }
}

/// Adds the values of `N` positions by their weights.
#[inline(always)]
fn add<S: Simd, const N: usize>(simd: S, values: &[f32], weights: [f32; N], out: &mut [f32]) {
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    let dim = values.len() / N;
    let values: [(&[S::f32s], &[f32]); N] = array::from_fn(|i| {
        let (values, rest) = S::as_simd_f32s(&values[i * dim..][..dim]);
        (&values[..out.len()], &rest[..out_rest.len()])
    });
    for (v, out) in out.iter_mut().enumerate() {
        let mut sum = *out;
        for i in 0..N {
            sum = simd.mul_add_e_f32s(simd.splat_f32s(weights[i]), values[i].0[v], sum);
        }
        *out = sum;
    }
    for (v, out) in out_rest.iter_mut().enumerate() {
        for i in 0..N {
            *out += weights[i] * values[i].1[v];
        }
    }
}
