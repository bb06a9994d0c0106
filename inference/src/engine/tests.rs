//! The engine on a model whose answers can be told beforehand.

mod answers;
mod batching;
mod crowd;
mod failures;
mod leaving;
mod record;
mod script;
mod speech;
mod stub;

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::{ChatError, ChatStream, Engine, State};
use crate::chat::{ChatEvent, ChatRequest, FinishReason, Message, Role, Sampling, Usage};
use crate::settings::{DeviceChoice, ModelSettings, Quantization, Source};
use record::Record;
use script::Script;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);
/// Positions of a slot.
const CONTEXT: usize = 4096;

/// An engine, what directs its model, and what it reported.
struct Bench {
    engine: Engine,
    script: Arc<Script>,
    record: Arc<Record>,
}

/// A whole answer.
type Answer = Result<(String, FinishReason, Usage), ChatError>;

// === impl Bench ===

impl Bench {
    /// So many slots, so many that may wait; ready.
    async fn ready(slots: usize, max_queue: usize) -> Self {
        let bench = Self::start(slots, max_queue, Arc::default());
        assert!(matches!(bench.engine.loaded().await, State::Ready(_)));
        bench
    }

    fn start(slots: usize, max_queue: usize, script: Arc<Script>) -> Self {
        let settings = ModelSettings {
            name: "chat".to_owned(),
            source: Source::BuiltIn,
            device: DeviceChoice::Cpu,
            quantization: Quantization::None,
            context_length: CONTEXT,
            max_concurrent: slots,
            max_queue,
        };
        let record = Arc::<Record>::default();
        let load = stub::load(slots, CONTEXT, Arc::clone(&script));
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(4));
        let engine = Engine::start_with(&settings, load, Arc::clone(&record) as _, backoff);
        Self { engine, script, record }
    }

    fn submit(&self, request: ChatRequest) -> ChatStream {
        self.engine.submit(request).expect("the queue has room")
    }

    async fn ask(&self, request: ChatRequest) -> Answer {
        read(self.submit(request)).await
    }
}

/// Asks for so many tokens.
fn say(content: &str, max_tokens: usize) -> ChatRequest {
    let message = Message { role: Role::User, content: content.to_owned() };
    ChatRequest {
        messages: vec![message],
        sampling: Sampling::default(),
        max_tokens: Some(max_tokens),
        stop: Vec::new(),
        deadline: None,
        scope: 0,
    }
}

/// Asks for as much as the context holds.
fn endless(content: &str) -> ChatRequest {
    ChatRequest { max_tokens: None, ..say(content, 0) }
}

/// Reads an answer to its end.
async fn read(mut stream: ChatStream) -> Answer {
    let mut answer = String::new();
    while let Some(event) = next(&mut stream).await {
        match event? {
            ChatEvent::Text(text) => answer.push_str(&text),
            ChatEvent::Finished { reason, usage } => {
                assert_eq!(next(&mut stream).await, None);
                return Ok((answer, reason, usage));
            }
        }
    }
    panic!("an answer has an end");
}

async fn next(stream: &mut ChatStream) -> Option<Result<ChatEvent, ChatError>> {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("something comes")
}

/// Tries until it succeeds.
fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "it never came true");
        std::thread::yield_now();
    }
}
