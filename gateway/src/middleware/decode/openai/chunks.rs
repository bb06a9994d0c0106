//! A completion in chunks: server-sent events, the last of them `[DONE]`.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::answer::{Facts, Part};
use crate::backends::answer::{Answer, AnswerStream};
use crate::body::Body;
use crate::mcp::json::on_one_line;
use crate::middleware::encode::Events;
use crate::middleware::respond;
use crate::rejection::Rejection;

const DONE: &[u8] = b"data: [DONE]\n\n";

/// Writes the chunks of one completion.
struct Writer {
    facts: Facts,
    includes_usage: bool,
    /// Whether text was sent.
    spoke: bool,
}

/// The body of chunks that an answer comes to.
///
/// # Errors
///
/// If it is none that could be a completion.
pub(super) fn of(answer: Answer, facts: Facts, includes_usage: bool) -> Result<Body, Rejection> {
    let messages: AnswerStream = match answer {
        Answer::Message { message, code: None } => Box::pin(stream::once(std::future::ready(Ok(message)))),
        Answer::Stream(messages) => messages,
        _ => return Err(Rejection::Internal),
    };
    let writer = Writer { facts, includes_usage, spoke: false };
    let first = writer.first();
    let rest = stream::unfold(Some((messages, writer)), |state| async {
        let (mut messages, mut writer) = state?;
        match messages.next().await?.and_then(|message| Part::read(&message)) {
            Ok(part) => Some((writer.write(part), Some((messages, writer)))),
            // The last there is, whatever may follow.
            Err(rejection) => Some((event(&respond::stream_error(&rejection)), None)),
        }
    });
    let events = stream::once(std::future::ready(first)).chain(rest);
    Ok(Body::arriving(Events::new(Box::pin(events))))
}

// === impl Writer ===

impl Writer {
    /// Says who speaks, at once.
    fn first(&self) -> Bytes {
        self.chunk(&json!({"role": "assistant", "content": ""}), None)
    }

    fn write(&mut self, part: Part) -> Bytes {
        match part {
            Part::Text(text) => {
                self.spoke = true;
                self.chunk(&json!({"content": text}), None)
            }
            Part::End(result) => {
                let mut events = Vec::new();
                // What was not sent piece by piece is sent now.
                if !self.spoke && !result.said.text.is_empty() {
                    events.extend(self.chunk(&json!({"content": result.said.text}), None));
                }
                events.extend(self.chunk(&json!({}), Some(&result.said.finish_reason)));
                if self.includes_usage {
                    events.extend(self.event_with(&json!([]), &result.usage()));
                }
                events.extend_from_slice(DONE);
                events.into()
            }
        }
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Bytes {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.event_with(&json!([choice]), &Value::Null)
    }

    fn event_with(&self, choices: &Value, usage: &Value) -> Bytes {
        let mut chunk = json!({
            "id": self.facts.id,
            "object": "chat.completion.chunk",
            "created": self.facts.created,
            "model": self.facts.model,
            "choices": choices,
        });
        // A client that asked for usage looks for the member in each chunk.
        if self.includes_usage {
            chunk["usage"] = usage.clone();
        }
        event(on_one_line(chunk.to_string()).as_bytes())
    }
}

/// An event of one line of JSON.
fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}
