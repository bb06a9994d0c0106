//! Answers of a model that does what a test says.

mod changes;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use portcullis_inference::chat::{ChatEvent, ChatRequest, FinishReason, Usage};
use portcullis_inference::engine::observer::Observer as _;
use portcullis_inference::engine::{ChatError, Description};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::model::Pieces;
use super::*;
use crate::mcp::session::{Agreement, Sessions};
use crate::mcp::test_request::{TIMEOUT, call_with};
use crate::mcp::version::Version;
use crate::metrics::CallStatus;
use crate::rejection::UpstreamFailureKind;

const ARGUMENTS: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;

/// What a [`Script`] does next.
enum Step {
    Says(Result<ChatEvent, ChatError>),
    /// Says nothing until the test lets it.
    Waits(Arc<Notify>),
}

/// A model that does what a test says.
struct Script {
    refuses: Mutex<Option<ChatError>>,
    steps: Mutex<VecDeque<Step>>,
    asked: Mutex<Vec<ChatRequest>>,
    /// Answers being made.
    open: Arc<()>,
    state: watch::Sender<State>,
    ended: Arc<AtomicBool>,
}

impl Script {
    fn of(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        let script = Self { steps: Mutex::new(steps.into_iter().collect()), ..Self::default() };
        script.is(State::Ready(description()));
        Arc::new(script)
    }

    fn refusing(error: ChatError) -> Arc<Self> {
        let script = Self::of([]);
        *script.refuses.lock().unwrap() = Some(error);
        script
    }

    fn is(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Whether nothing is being made.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            refuses: Mutex::default(),
            steps: Mutex::default(),
            asked: Mutex::default(),
            open: Arc::default(),
            state: watch::Sender::new(State::Loading { done_bytes: 0, total_bytes: 0 }),
            ended: Arc::default(),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Model for Script {
    fn submit(&self, request: ChatRequest) -> Result<Pieces, ChatError> {
        self.asked.lock().unwrap().push(request);
        if let Some(error) = self.refuses.lock().unwrap().clone() {
            return Err(error);
        }
        let steps = std::mem::take(&mut *self.steps.lock().unwrap());
        Ok(Box::pin(stream::unfold((steps, Arc::clone(&self.open)), |(mut steps, open)| async {
            loop {
                match steps.pop_front()? {
                    Step::Waits(until) => until.notified().await,
                    Step::Says(event) => return Some((event, (steps, open))),
                }
            }
        })))
    }

    fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn description() -> Description {
    Description {
        family: "llama".to_owned(),
        parameters: 1,
        device: "cpu".to_owned(),
        backend: "flex".to_owned(),
        precision: "f32".to_owned(),
        weight_bytes: 4,
        cache_bytes: 8,
        context_length: 64,
        max_concurrent: 2,
    }
}

fn says(text: &str) -> Step {
    Step::Says(Ok(ChatEvent::Text(text.to_owned())))
}

fn ends(reason: FinishReason) -> Step {
    let usage = Usage { prompt_tokens: 9, cached_tokens: 4, completion_tokens: 2 };
    Step::Says(Ok(ChatEvent::Finished { reason, usage }))
}

/// The tool `chat` over a model, and what it counts.
fn chat(model: &Arc<Script>) -> (Arc<Chat>, Arc<Metrics>) {
    let metrics: Arc<Metrics> = Arc::default();
    (chat_after(model, None, &metrics), metrics)
}

/// The same in the place of another.
fn chat_after(model: &Arc<Script>, before: Option<&Chat>, metrics: &Arc<Metrics>) -> Arc<Chat> {
    let stand_in = before.and_then(Chat::hand_over);
    let reports = Arc::new(Reports::new("chat".into(), Arc::clone(metrics), stand_in.is_none()));
    Chat::of(Arc::clone(model) as _, reports, stand_in)
}

fn counted(metrics: &Metrics, line: &str) -> bool {
    String::from_utf8(metrics.render()).unwrap().contains(line)
}

fn answers(metrics: &Metrics, outcome: &str) -> bool {
    counted(metrics, &format!(r#"portcullis_model_answers_total{{model="chat",outcome="{outcome}"}} 1"#))
}

/// A call with this progress token.
fn asking(token: Option<&str>) -> Box<McpRequest> {
    let Some(token) = token else { return call_with("chat", ARGUMENTS) };
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{{"name":"chat","arguments":{ARGUMENTS},"_meta":{{"progressToken":{token}}}}}}}"#
    );
    let operation = crate::mcp::operation::Operation::CallTool { tool: "chat".into() };
    crate::mcp::test_request::request(operation, &message)
}

async fn ask(chat: &Arc<Chat>, request: Box<McpRequest>) -> Result<Answer, Rejection> {
    let tool = Arc::clone(&chat.tools.tools[0]);
    Arc::clone(chat).call(request, Callee::Tool(tool)).await
}

fn message(answer: Answer) -> Value {
    let Answer::Message { message, code: None } = answer else { panic!("{answer:?}") };
    serde_json::from_slice(&message).unwrap()
}

#[tokio::test]
async fn an_answer_is_text_and_structure() {
    let model = Script::of([says("Hel"), says("lo"), ends(FinishReason::Stop)]);
    let (chat, metrics) = chat(&model);
    let request = asking(None);
    let record = Arc::clone(&request.record);
    let answer = message(ask(&chat, request).await.unwrap());
    assert_eq!(answer["id"], "q");
    assert_eq!(answer["result"]["content"], json!([{"type": "text", "text": "Hello"}]));
    let structured = &answer["result"]["structuredContent"];
    let usage = json!({"promptTokens": 9, "completionTokens": 2});
    assert_eq!(*structured, json!({"model": "chat", "text": "Hello", "finishReason": "stop", "usage": usage}));
    assert!(jsonschema::is_valid(&definition::of("chat")["outputSchema"], structured));
    assert_eq!(answer["result"].get("resultType"), None);
    assert_eq!(answer["result"]["_meta"], json!({"portcullis/cachedTokens": 4}));
    assert_eq!(record.status(), Some(CallStatus::Success));
    assert!(answers(&metrics, "stop"));
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked[0].messages[0].content, "hi");
    assert!(asked[0].deadline.is_some(), "nobody waits longer");
}

#[tokio::test]
async fn with_a_token_the_text_comes_as_it_is_made() {
    let gate = Arc::new(Notify::new());
    let model = Script::of([says("a\n"), Step::Waits(Arc::clone(&gate)), says("b"), ends(FinishReason::Length)]);
    let (chat, metrics) = chat(&model);
    let mut request = asking(Some("\"t\""));
    request.version = Version::MODERN;
    let Ok(Answer::Stream(mut messages)) = ask(&chat, request).await else { panic!("no stream") };
    let mut next = async || serde_json::from_slice::<Value>(&messages.next().await.unwrap().unwrap()).unwrap();
    let first = next().await;
    assert_eq!(first["method"], "notifications/progress");
    assert_eq!(first["params"], json!({"progressToken": "t", "progress": 1, "message": "a\n"}));
    assert!(next().now_or_never().is_none(), "nothing more is made yet");
    gate.notify_one();
    assert_eq!(next().await["params"], json!({"progressToken": "t", "progress": 2, "message": "b"}));
    let last = next().await;
    assert_eq!(last["result"]["structuredContent"]["text"], "a\nb");
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "portcullis");
    assert!(messages.next().await.is_none());
    drop(messages);
    assert!(answers(&metrics, "length") && model.is_idle());
    assert!(model.asked.lock().unwrap()[0].deadline.is_none(), "a stream may last");
}

#[tokio::test]
async fn a_client_that_takes_no_stream_waits_for_the_whole() {
    let (chat, _) = chat(&Script::of([says("a"), ends(FinishReason::Stop)]));
    let mut request = asking(Some("1"));
    request.takes_stream = false;
    assert_eq!(message(ask(&chat, request).await.unwrap())["result"]["content"][0]["text"], "a");
}

#[tokio::test]
async fn a_client_that_goes_away_stops_the_model() {
    let gate = || Step::Waits(Arc::new(Notify::new()));
    let model = Script::of([says("a"), gate()]);
    let (chat, metrics) = chat(&model);
    let answer = ask(&chat, asking(Some("1"))).await.unwrap();
    assert!(!model.is_idle());
    drop(answer);
    assert!(model.is_idle() && answers(&metrics, "cancelled"));
}

#[tokio::test]
async fn a_client_that_cancels_stops_the_model() {
    let model = Script::of([Step::Waits(Arc::new(Notify::new()))]);
    let (chat, metrics) = chat(&model);
    let session = Sessions::for_tests(1).open(Agreement {
        version: Version::NEWEST_LEGACY,
        principal: "apiKey:ci".into(),
        server: None,
        capabilities: bytes::Bytes::new(),
        client_info: None,
    });
    let mut request = asking(None);
    request.session = Some(Arc::clone(&session));
    let record = Arc::clone(&request.record);
    let mut answer = Box::pin(ask(&chat, request));
    assert!(answer.as_mut().now_or_never().is_none());
    session.in_flight.cancel("\"q\"");
    assert_eq!(answer.await.unwrap_err(), Rejection::Cancelled);
    assert!(model.is_idle() && answers(&metrics, "cancelled"));
    assert_eq!(record.status(), Some(CallStatus::Error));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_it_may_and_a_stream_no_longer_for_a_piece() {
    let gate = || Step::Waits(Arc::new(Notify::new()));
    let (slow, metrics) = chat(&Script::of([gate()]));
    let begin = Instant::now();
    let Err(Rejection::Upstream(failure)) = ask(&slow, asking(None)).await else { panic!("an answer") };
    assert_eq!((&*failure.upstream, failure.kind), ("chat", UpstreamFailureKind::TimedOut));
    assert_eq!(begin.elapsed(), TIMEOUT);
    assert!(answers(&metrics, "timed_out"));

    let (stalls, _) = chat(&Script::of([says("a"), gate()]));
    let mut request = asking(Some("1"));
    request.deadline = Instant::now() + TIMEOUT / 10;
    let Ok(Answer::Stream(mut messages)) = ask(&stalls, request).await else { panic!("no stream") };
    messages.next().await.unwrap().unwrap();
    tokio::time::advance(TIMEOUT * 3).await;
    let asked_again = Instant::now();
    assert!(matches!(messages.next().await, Some(Err(Rejection::Upstream(_)))));
    assert_eq!(asked_again.elapsed(), TIMEOUT, "the client's own slowness does not count");
}

#[tokio::test]
async fn each_failure_is_a_refusal_of_its_own() {
    let retry_after = Duration::from_secs(7);
    for (error, rejection, status, outcome) in [
        (
            ChatError::QueueFull { retry_after },
            Rejection::ModelBusy { retry_after },
            CallStatus::UpstreamError,
            "queue_full",
        ),
        (ChatError::Loading, Rejection::ModelLoading, CallStatus::UpstreamError, "loading"),
        (ChatError::Unavailable, Rejection::ModelUnavailable, CallStatus::UpstreamError, "unavailable"),
        (ChatError::Failed, Rejection::ModelFailed, CallStatus::UpstreamError, "failed"),
        (
            ChatError::PromptTooLong { prompt_tokens: 9, context_length: 8 },
            Rejection::PromptTooLong { prompt_tokens: 9, context_length: 8 },
            CallStatus::Error,
            "prompt_too_long",
        ),
        (
            ChatError::Messages("roles must alternate".to_owned()),
            Rejection::BadArguments { detail: "argument `messages`: roles must alternate".to_owned() },
            CallStatus::Error,
            "bad_arguments",
        ),
    ] {
        for model in [Script::refusing(error.clone()), Script::of([Step::Says(Err(error.clone()))])] {
            let (chat, metrics) = chat(&model);
            let request = asking(None);
            let record = Arc::clone(&request.record);
            assert_eq!(ask(&chat, request).await.unwrap_err(), rejection);
            assert_eq!(record.status(), Some(status));
            assert!(answers(&metrics, outcome), "{outcome}");
        }
    }
    let (cut_off, _) = chat(&Script::of([says("a")]));
    assert_eq!(ask(&cut_off, asking(None)).await.unwrap_err(), Rejection::ModelFailed);
}

#[tokio::test]
async fn bad_arguments_do_not_reach_the_model() {
    let model = Script::of([]);
    let (chat, metrics) = chat(&model);
    let refused = ask(&chat, call_with("chat", r#"{"messages":7}"#)).await.unwrap_err();
    assert!(matches!(refused, Rejection::BadArguments { detail } if detail.contains("`messages`")));
    assert!(model.asked.lock().unwrap().is_empty() && answers(&metrics, "bad_arguments"));
}

#[tokio::test]
async fn callers_share_nothing_that_a_model_remembers() {
    let scope = async |name: &str, address: [u8; 4]| {
        let model = Script::of([]);
        let (chat, _) = chat(&model);
        let mut request = asking(None);
        request.principal = Arc::new(portcullis_policies::Principal::new(name));
        request.client_ip = Some(address.into());
        let _ = ask(&chat, request).await;
        model.asked.lock().unwrap()[0].scope
    };
    let [here, there] = [[10, 0, 0, 1], [10, 0, 0, 2]];
    assert_eq!(scope("apiKey:a", here).await, scope("apiKey:a", there).await);
    assert_ne!(scope("apiKey:a", here).await, scope("apiKey:b", here).await);
    assert_eq!(scope("anonymous", here).await, scope("anonymous", here).await);
    assert_ne!(scope("anonymous", here).await, scope("anonymous", there).await);
}

#[tokio::test]
async fn what_was_asked_is_not_kept_while_the_answer_is_made() {
    let model = Script::of([says("a\u{2028}"), Step::Waits(Arc::new(Notify::new()))]);
    let (chat, _) = chat(&model);
    let request = asking(Some("1"));
    let body = request.body.clone();
    let Ok(Answer::Stream(mut messages)) = ask(&chat, request).await else { panic!("no stream") };
    assert!(body.as_bytes().is_unique());
    let first = messages.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains(r"a\u2028"), "it would end a line for some");
}
