//! The kernels beside the speed of memory.
//!
//! Every figure is a throughput in bytes of weights (or cache) read, so that
//! it compares with `memory`, which only reads. Matrices are those of decoders
//! of 125 and 500 million parameters, several copies of each in turn, so that
//! no cache holds them.

mod memory;

use std::array;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::ThreadPool;
use rayon::prelude::*;

/// The kernels are no part of the crate's surface.
#[allow(dead_code, unused_imports, unreachable_pub, reason = "not all of them are measured")]
#[path = "../src"]
mod source {
    pub(crate) mod kernels;
}

use source::kernels::Matrix;
use source::kernels::attention::{Attention, Query};
use source::kernels::packed::{Brain, Packed, Single};
use source::kernels::quantized::{Eight, Four, Quantized};

/// Inputs and outputs.
const MATRICES: [(usize, usize); 4] = [(768, 2048), (768, 32_000), (1280, 3456), (1280, 32_000)];

/// Bytes that are more than a cache holds.
const BEYOND_CACHES: usize = 128 << 20;

/// A product as one of the kernels computes it: rows, activations, result.
type Multiply = Box<dyn Fn(usize, &[f32], &mut [f32]) + Sync>;

fn kernels(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        reading(criterion, &pool);
        for (inputs, outputs) in MATRICES {
            products(criterion, &pool, inputs, outputs);
        }
        attention(criterion, &pool);
    }
}

fn reading(criterion: &mut Criterion, pool: &ThreadPool) {
    let pages = memory::large_pages(BEYOND_CACHES);
    let data: &[u64] = bytemuck::cast_slice(&pages);
    let mut group = criterion.benchmark_group(format!("threads {}/memory", pool.current_num_threads()));
    group.throughput(Throughput::Bytes(size_of_val(data) as u64));
    group.bench_function("read", |bencher| {
        let part = data.len() / pool.current_num_threads();
        pool.install(|| bencher.iter(|| data.par_chunks(part).for_each(memory::read)));
    });
    group.finish();
}

fn products(criterion: &mut Criterion, pool: &ThreadPool, inputs: usize, outputs: usize) {
    let weight = |k: usize, n: usize| ((k * 7 + n * 13) % 101) as f32 / 50.0 - 1.0;
    let name = format!("threads {}/{inputs}x{outputs}", pool.current_num_threads());
    macro_rules! packed {
        ($name:literal, $matrix:ty) => {
            let pack = || <$matrix>::pack(inputs, outputs, weight);
            measure(criterion, pool, &name, $name, (inputs, outputs), pack().bytes(), &|| {
                let weights = pack();
                Box::new(move |rows, x, y| weights.multiply(rows, x, y))
            });
        };
    }
    packed!("f32", Packed<Single>);
    packed!("bf16", Packed<Brain>);
    packed!("q8", Quantized<Eight>);
    packed!("q4", Quantized<Four>);
}

/// Measures copies of one matrix in turn, for one row, for a batch, and for a
/// part of a prompt.
fn measure(
    criterion: &mut Criterion,
    pool: &ThreadPool,
    name: &str,
    kernel: &str,
    (inputs, outputs): (usize, usize),
    bytes: usize,
    copy: &dyn Fn() -> Multiply,
) {
    let copies: Vec<_> = (0..(BEYOND_CACHES / bytes).max(2)).map(|_| copy()).collect();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    for rows in [1, 8, 128] {
        let (x, mut y) = (vec![0.5; rows * inputs], vec![0.0; rows * outputs]);
        group.bench_function(BenchmarkId::new(kernel, rows), |bencher| {
            let mut turn = copies.iter().cycle();
            let mut multiply = || {
                let multiply = turn.next().expect("there are copies");
                multiply(rows, &x, &mut y);
            };
            pool.install(|| bencher.iter(&mut multiply));
        });
    }
    group.finish();
}

fn attention(criterion: &mut Criterion, pool: &ThreadPool) {
    const LENGTH: usize = 1024;
    let mut group = criterion.benchmark_group(format!("threads {}/attention", pool.current_num_threads()));
    for (kv_heads, group_size, dim) in [(12, 1, 64), (4, 5, 64), (8, 4, 128)] {
        let queries: [Query; 8] = array::from_fn(|slot| Query { slot, length: LENGTH });
        let keys = vec![0.1; queries.len() * kv_heads * LENGTH * dim];
        let (keys, values) = (&*keys, &*keys.clone());
        let attention =
            Attention { keys, values, kv_heads, group: group_size, max: LENGTH, dim, window: None, scale: 0.1 };
        let q = vec![0.1; queries.len() * kv_heads * group_size * dim];
        let mut out = q.clone();
        group.throughput(Throughput::Bytes(2 * size_of_val(keys) as u64));
        group.bench_function(format!("{kv_heads}x{group_size}x{dim}"), |bencher| {
            pool.install(|| bencher.iter(|| attention.attend(&queries, &q, &mut out)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // There are many; memory is as fast in one second as in five.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = kernels
}
criterion_main!(benches);
