//! How fast a model answers: the whole engine, as the gateway uses it.
//!
//! Prints one line of JSON for each number of conversations at once: tokens per
//! second of prompts and of answers. The first line has what bounds them on a
//! CPU: how fast memory is read, and how large the weights are. Other engines
//! are measured beside it by `compare.py`.
//!
//! | variable | what it is | default |
//! |---|---|---|
//! | `PORTCULLIS_BENCH_MODEL` | a checkpoint's directory | the built-in model |
//! | `PORTCULLIS_BENCH_DEVICE` | `cpu`, `gpu`, `auto`, or a part of an adapter's name | `cpu` |
//! | `PORTCULLIS_BENCH_QUANTIZE` | `none`, `q8`, `q4` | `none` |
//! | `PORTCULLIS_BENCH_BATCHES` | numbers of conversations at once | `1,4,8` |
//! | `PORTCULLIS_BENCH_PROMPT` | words of a prompt | 128 |
//! | `PORTCULLIS_BENCH_TOKENS` | tokens of an answer | 64 |
//! | `PORTCULLIS_BENCH_ROUNDS` | how often all of it is measured | 3 |
//! | `RAYON_NUM_THREADS` | threads | one for each processor |

#![allow(clippy::disallowed_methods, reason = "a bench is told by the environment what to measure")]

mod memory;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

use portcullis_inference::chat::{ChatEvent, ChatRequest, Message, Role, Sampling};
use portcullis_inference::engine::observer::Unobserved;
use portcullis_inference::engine::{ChatStream, Engine, State};
use portcullis_inference::settings::{DeviceChoice, ModelSettings, Quantization, Source};

/// What one conversation took.
struct Timing {
    prompt_tokens: usize,
    completion_tokens: usize,
    /// When its text came, piece by piece.
    pieces: Vec<Duration>,
}

impl Timing {
    fn first(&self) -> Duration {
        self.pieces.first().copied().unwrap_or_default()
    }

    fn last(&self) -> Duration {
        self.pieces.last().copied().unwrap_or_default()
    }
}

fn main() {
    // Run as a test, it shows that it works.
    let quick = env::args().all(|argument| argument != "--bench");
    let number = |name: &str, default: usize| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let words = number("PORTCULLIS_BENCH_PROMPT", if quick { 4 } else { 128 });
    let tokens = number("PORTCULLIS_BENCH_TOKENS", if quick { 4 } else { 64 });
    let rounds = number("PORTCULLIS_BENCH_ROUNDS", if quick { 1 } else { 3 });
    let batches = env::var("PORTCULLIS_BENCH_BATCHES").unwrap_or(if quick { "2" } else { "1,4,8" }.to_owned());
    let batches: Vec<usize> = batches.split(',').map(|batch| batch.parse().expect("a number")).collect();
    let settings = ModelSettings {
        name: "bench".to_owned(),
        source: env::var_os("PORTCULLIS_BENCH_MODEL")
            .map_or(Source::BuiltIn, |path| Source::Directory(PathBuf::from(path))),
        device: match env::var("PORTCULLIS_BENCH_DEVICE").as_deref() {
            Ok("gpu") => DeviceChoice::Gpu,
            Ok("auto") => DeviceChoice::Auto,
            Ok("cpu") | Err(_) => DeviceChoice::Cpu,
            Ok(name) => DeviceChoice::Adapter(name.to_owned()),
        },
        quantization: match env::var("PORTCULLIS_BENCH_QUANTIZE").as_deref() {
            Ok("q8") => Quantization::Q8,
            Ok("q4") => Quantization::Q4,
            _ => Quantization::None,
        },
        context_length: 1024,
        max_concurrent: 8,
        max_queue: 8,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let engine = Engine::open(settings, Arc::new(Unobserved));
    match runtime.block_on(engine.loaded()) {
        State::Ready(description) => {
            eprintln!("{description:?}");
            let threads = thread::available_parallelism().map_or(1, usize::from);
            let threads = Some(number("RAYON_NUM_THREADS", 0)).filter(|threads| *threads > 0).unwrap_or(threads);
            let read = bandwidth(threads, if quick { 1 << 20 } else { 512 << 20 });
            let line = serde_json::json!({
                "engine": "memory",
                "bytes_per_second": read,
                "weight_bytes": description.weight_bytes,
            });
            println!("{line}");
        }
        other => panic!("the model cannot be loaded: {other:?}"),
    }
    for round in 0..rounds {
        for &batch in &batches {
            let begun = Instant::now();
            let streams: Vec<ChatStream> = (0..batch)
                .map(|index| engine.submit(request(round, index, words, tokens)).expect("room in the queue"))
                .collect();
            let timings = runtime.block_on(async {
                // Each by itself: a stream that is read late shows its end only.
                let tasks: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(timing(stream, begun))).collect();
                let mut timings = Vec::new();
                for task in tasks {
                    timings.push(task.await.expect("a conversation that ends"));
                }
                timings
            });
            report(round, batch, &timings);
        }
    }
}

/// Bytes per second that some threads read from large pages, the best of a few
/// times.
#[expect(clippy::cast_precision_loss, reason = "some hundred millions")]
fn bandwidth(threads: usize, bytes: usize) -> f64 {
    let pages = memory::large_pages(bytes);
    let data: &[u64] = bytemuck::cast_slice(&pages);
    let once = || {
        let begun = Instant::now();
        thread::scope(|scope| {
            for part in data.chunks(data.len().div_ceil(threads)) {
                scope.spawn(|| memory::read(part));
            }
        });
        bytes as f64 / begun.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

/// Words that differ from round to round, so that nothing is still in the
/// cache.
fn request(round: usize, index: usize, words: usize, tokens: usize) -> ChatRequest {
    let content = format!("{round} {index} {}", "gateway ".repeat(words));
    ChatRequest {
        messages: vec![Message { role: Role::User, content }],
        sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
        max_tokens: Some(tokens),
        stop: Vec::new(),
        deadline: None,
        scope: 0,
    }
}

async fn timing(mut stream: ChatStream, begun: Instant) -> Timing {
    let mut pieces = Vec::new();
    loop {
        match stream.next().await.expect("the end is announced").expect("an answer") {
            ChatEvent::Text(_) => pieces.push(begun.elapsed()),
            ChatEvent::Finished { usage, .. } => {
                return Timing {
                    prompt_tokens: usage.prompt_tokens - usage.cached_tokens,
                    completion_tokens: usage.completion_tokens,
                    pieces,
                };
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
fn report(round: usize, batch: usize, timings: &[Timing]) {
    let prompt: usize = timings.iter().map(|timing| timing.prompt_tokens).sum();
    let made: usize = timings.iter().map(|timing| timing.completion_tokens).sum();
    // While all answer: from the last one's first piece to the first one's last.
    let first = timings.iter().map(Timing::first).max().unwrap_or_default();
    let last = timings.iter().map(Timing::last).min().unwrap_or_default();
    let together = |timing: &Timing| {
        let within = timing.pieces.iter().filter(|piece| (first..=last).contains(*piece)).count();
        // What came first was made before.
        let share = within.saturating_sub(1) as f64 / timing.pieces.len().max(1) as f64;
        timing.completion_tokens as f64 * share
    };
    let answered: f64 = timings.iter().map(together).sum();
    let line = serde_json::json!({
        "engine": "portcullis",
        "round": round,
        "batch": batch,
        "prompt_tokens": prompt,
        "prompt_tokens_per_second": prompt as f64 / first.as_secs_f64(),
        "completion_tokens": made,
        "completion_tokens_per_second": answered / last.saturating_sub(first).as_secs_f64().max(1e-9),
    });
    println!("{line}");
}
