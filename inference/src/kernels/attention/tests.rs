use super::super::reference::{assert_close, numbers};
use super::*;

/// By the definition, in `f64`.
fn expected(attention: &Attention<'_>, queries: &[Query], q: &[f32]) -> Vec<f64> {
    let Attention { keys, values, kv_heads, group, max, dim, scale, .. } = *attention;
    let mut out = vec![0.0; q.len()];
    for (head, out) in out.chunks_exact_mut(dim).enumerate() {
        let query = queries[head / (kv_heads * group)];
        let kv_head = head / group % kv_heads;
        let row = |p: usize| ((query.slot * kv_heads + kv_head) * max + p) * dim;
        let first = attention.window.map_or(0, |window| query.length.saturating_sub(window));
        let product =
            |p: usize| -> f64 { (0..dim).map(|i| f64::from(q[head * dim + i]) * f64::from(keys[row(p) + i])).sum() };
        let products: Vec<f64> = (first..query.length).map(|p| product(p) * f64::from(scale)).collect();
        let largest = products.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = products.iter().map(|x| (x - largest).exp()).sum();
        for (p, product) in (first..).zip(&products) {
            for (i, out) in out.iter_mut().enumerate() {
                *out += (product - largest).exp() / sum * f64::from(values[row(p) + i]);
            }
        }
    }
    out
}

struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    fn new(slots: usize, kv_heads: usize, max: usize, dim: usize) -> Self {
        let count = slots * kv_heads * max * dim;
        let keys = numbers(1, count).into_iter().map(|x| 3.0 * x).collect();
        Self { keys, values: numbers(2, count) }
    }

    fn attention(&self, kv_heads: usize, group: usize, max: usize, dim: usize) -> Attention<'_> {
        let scale = 1.0 / (dim as f32).sqrt();
        let (keys, values) = (&*self.keys, &*self.values);
        Attention { keys, values, kv_heads, group, max, dim, window: None, scale }
    }
}

#[test]
fn equals_the_definition() {
    for (kv_heads, group, max, dim) in [(1, 1, 9, 8), (2, 3, 40, 64), (3, 1, 17, 20), (2, 7, 600, 128), (1, 2, 5, 3)] {
        let cache = Cache::new(3, kv_heads, max, dim);
        for window in [None, Some(1), Some(4), Some(max + 1)] {
            let attention = Attention { window, ..cache.attention(kv_heads, group, max, dim) };
            let queries = [(0, 1), (2, max), (1, max / 2), (2, 0)].map(|(slot, length)| Query { slot, length });
            let q = numbers(3, queries.len() * kv_heads * group * dim);
            let mut out = vec![f32::NAN; q.len()];
            attention.attend(&queries, &q, &mut out);
            assert_close(&out, &expected(&attention, &queries, &q), 2e-6);
        }
    }
}

#[test]
fn portable_path_equals_the_definition() {
    let cache = Cache::new(1, 1, 19, 20);
    let attention = cache.attention(1, 3, 19, 20);
    let q = numbers(3, 60);
    let mut out = vec![f32::NAN; 60];
    let Cache { keys, values } = &cache;
    let head = Head { keys, values, dim: 20, scale: attention.scale, q: &q, out: &mut out };
    pulp::WithSimd::with_simd(head, pulp::Scalar::new());
    let queries = [Query { slot: 0, length: 19 }];
    assert_close(&out, &expected(&attention, &queries, &q), 2e-6);
}

#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let cache = Cache::new(2, 2, 700, 64);
    let attention = cache.attention(2, 4, 700, 64);
    let queries = [Query { slot: 0, length: 700 }, Query { slot: 1, length: 333 }];
    let q = numbers(3, 2 * 8 * 64);
    let mut together = vec![0.0; q.len()];
    attention.attend(&queries, &q, &mut together);
    for (index, query) in queries.into_iter().enumerate() {
        let part = index * 8 * 64..(index + 1) * 8 * 64;
        let mut alone = vec![0.0; 8 * 64];
        attention.attend(&[query], &q[part.clone()], &mut alone);
        assert_eq!(alone, together[part]);
    }
}

#[test]
fn large_products_do_not_overflow() {
    let (keys, values) = ([1e18_f32, 1e18, -1e18, -1e18], [1.0, 2.0, 3.0, 4.0]);
    let attention =
        Attention { keys: &keys, values: &values, kv_heads: 1, group: 1, max: 2, dim: 2, window: None, scale: 1.0 };
    let mut out = [0.0; 2];
    attention.attend(&[Query { slot: 0, length: 2 }], &[1e18, 1e18], &mut out);
    assert_eq!(out, [1.0, 2.0]);
}

#[test]
#[should_panic(expected = "no longer than its slot")]
fn a_length_beyond_the_slot_is_refused() {
    let cache = Cache::new(2, 1, 4, 8);
    let queries = [Query { slot: 0, length: 5 }];
    cache.attention(1, 1, 4, 8).attend(&queries, &[0.0; 8], &mut [0.0; 8]);
}
