//! What it costs to decide a call: who calls, what is called, whether it may
//! pass, and how often still. No sockets.
//!
//! The decision is measured whole, through the gateway's own layers, and in
//! its parts; with few and with many policies and keys (it must not matter),
//! and reading messages of several sizes (it must cost in proportion).

mod gateway;
mod message;
mod ratios;
mod token;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use portcullis::mcp::answer::UpstreamMessage;
use portcullis::mcp::envelope::Envelope;
use portcullis_policies::{CallFacts, Principal, Target};

use self::gateway::{CLIENT, Gateway, Size, TOOL, accepted};
use self::token::Issuer;

/// As in the gateway itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const FEW: usize = 10;
const KIB: usize = 1024;

fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    for size in ratios::sizes() {
        let mut gateway = Gateway::new(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(|calls| gateway.time(calls));
        });
    }
}

fn authenticate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("authenticate");
    for keys in [FEW, 10_000] {
        let gateway = Gateway::new(Size { policies: FEW, keys, callers: 1 });
        group.bench_function(BenchmarkId::new("api key", keys), |bencher| {
            bencher.iter(|| accepted(gateway.authenticator.authenticate(black_box(gateway.headers()))));
        });
    }
    let issuer = Issuer::new();
    group.bench_function("jwt seen before", |bencher| bencher.iter(|| issuer.authenticate()));
}

fn policy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy");
    let facts = CallFacts { ip: Some(CLIENT), args: None };
    for policies in [FEW, 1_000] {
        let gateway = Gateway::new(Size { policies, keys: FEW, callers: 1 });
        let decide = |caller: &Principal| gateway.policies.access(caller, Target::Tool(TOOL)).decide(&facts);
        let caller = accepted(gateway.authenticator.authenticate(gateway.headers()));
        group.bench_function(BenchmarkId::new("seen before", policies), |bencher| {
            bencher.iter(|| decide(black_box(&caller)));
        });
        let mut strangers = (0_u64..).map(|n| Principal::new(format!("jwt:a#{n}")).with_roles(["role-1".to_owned()]));
        group.bench_function(BenchmarkId::new("first call of a caller", policies), |bencher| {
            let stranger = || strangers.next().expect("without end");
            bencher.iter_batched_ref(stranger, |stranger| decide(stranger), BatchSize::SmallInput);
        });
    }
}

fn quota(criterion: &mut Criterion) {
    let gateway = Gateway::new(Size { policies: FEW, keys: FEW, callers: 1 });
    let caller = accepted(gateway.authenticator.authenticate(gateway.headers()));
    let decision = gateway.policies.access(&caller, Target::Tool(TOOL)).decide(&CallFacts::default());
    assert!(!decision.limits.is_empty(), "nothing would be spent");
    criterion.bench_function("quota", |bencher| {
        bencher.iter(|| gateway.quotas.spend(black_box(TOOL), caller.name(), Some(CLIENT), &decision.limits));
    });
}

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    for bytes in [KIB, 64 * KIB, 1024 * KIB] {
        let (call, result) = (message::call(TOOL, bytes), Bytes::from(message::result(bytes)));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("call", bytes), |bencher| {
            bencher.iter(|| {
                let text = std::str::from_utf8(black_box(&call)).expect("a call is text");
                Envelope::scan(text).expect("a call").id
            });
        });
        group.bench_function(BenchmarkId::new("result", bytes), |bencher| {
            bencher.iter(|| UpstreamMessage::scan(black_box(result.clone())).expect("a result"));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50);
    targets = decision, authenticate, policy, quota, scan
}

fn main() {
    // Never driven: nothing waits, but timers want to know whom they would ask.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Where all that there is was asked for.
    if std::env::args().skip(1).eq(["--bench"]) {
        ratios::report();
    }
}
