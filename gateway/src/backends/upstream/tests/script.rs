//! A transport in memory whose server follows a script.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::sync::watch;

use crate::backends::transport::{Messages, Outgoing, Reply, Transport, TransportError};
use crate::mcp::mirror;

/// What the server heard.
#[derive(Clone, Debug)]
pub(in super::super) struct Heard {
    /// The method, or `DELETE` where a session was ended.
    pub(in super::super) method: String,
    pub(in super::super) body: String,
    pub(in super::super) headers: HeaderMap,
    /// How often it heard this method before.
    pub(in super::super) nth: usize,
    /// On which pipe, where there are several: the first is 0.
    pub(in super::super) pipe: usize,
}

/// What it says. `$ID` stands for the id of the request.
pub(in super::super) enum Say {
    Message(String),
    Session(String, String),
    Refusal(u16, i64),
    /// Messages; the stream stays open where the last is not the response.
    Stream(Vec<String>),
    /// The same, one in a tenth of a second.
    Slowly(Vec<String>),
    /// The same, of which the first comes along with the head.
    Begun(Vec<String>),
    /// Messages, then the stream breaks off.
    Broken(Vec<String>),
    Fail(TransportError),
    Hang,
}

type Scripted = Arc<dyn Fn(&Heard) -> Say + Send + Sync>;

pub(super) struct Script {
    say: Scripted,
    heard: Mutex<Vec<Heard>>,
    lost: watch::Sender<u64>,
    /// Which pipe it is; `None` where it is none.
    pipe: Option<usize>,
    /// The other pipes.
    others: Mutex<Vec<Arc<Script>>>,
    closed: AtomicBool,
    /// Whether the older way was taken; `None` where there is none.
    fell_back: Mutex<Option<bool>>,
}

impl Heard {
    pub(super) fn session(&self) -> Option<&str> {
        self.headers.get(mirror::SESSION_ID).map(|id| id.to_str().unwrap())
    }
}

impl Say {
    pub(super) fn result(result: &str) -> Self {
        Self::Message(format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#))
    }

    pub(super) fn error(code: i64) -> Self {
        Self::Message(format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"no"}}}}"#))
    }
}

impl Script {
    pub(super) fn new(say: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self::over(Arc::new(say), None, None))
    }

    /// A script whose messages share one pipe.
    pub(super) fn pipe(say: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self::over(Arc::new(say), Some(0), None))
    }

    /// A script with an older way to the server.
    pub(super) fn with_older_way(say: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self::over(Arc::new(say), None, Some(false)))
    }

    fn over(say: Scripted, pipe: Option<usize>, fell_back: Option<bool>) -> Self {
        Self {
            say,
            heard: Mutex::default(),
            lost: watch::Sender::new(0),
            pipe,
            others: Mutex::default(),
            closed: AtomicBool::new(false),
            fell_back: Mutex::new(fell_back),
        }
    }

    /// Everything heard of a method.
    pub(super) fn heard(&self, method: &str) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|heard| heard.method == method).cloned().collect()
    }

    /// The pipes that were made beside it.
    pub(super) fn others(&self) -> Vec<Arc<Self>> {
        self.others.lock().unwrap().clone()
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Loses the connection.
    pub(super) fn lose(&self) {
        self.lost.send_modify(|lost| *lost += 1);
    }

    fn hear(&self, method: &str, body: &[u8], headers: HeaderMap) -> Heard {
        let mut all = self.heard.lock().unwrap();
        let nth = all.iter().filter(|heard| heard.method == method).count();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let heard = Heard { method: method.to_owned(), body, headers, nth, pipe: self.pipe.unwrap_or_default() };
        all.push(heard.clone());
        heard
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

fn stream_of(messages: Vec<String>, id: u64) -> stream::BoxStream<'static, Result<Bytes, TransportError>> {
    stream::iter(messages.into_iter().map(move |text| Ok(with_id(&text, id)))).boxed()
}

fn with_id(text: &str, id: u64) -> Bytes {
    text.replace("$ID", &id.to_string()).into()
}

impl Transport for Script {
    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        let closed = || TransportError::Unreachable("the transport is closed".to_owned());
        async move { if self.is_closed() { Err(closed()) } else { Ok(0) } }.boxed()
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        async move {
            let body: Value = serde_json::from_slice(&outgoing.body).unwrap();
            assert_eq!(body["id"], outgoing.id);
            let heard = self.hear(body["method"].as_str().unwrap(), &outgoing.body, outgoing.headers);
            let id = outgoing.id;
            match (self.say)(&heard) {
                Say::Message(text) => Ok(Reply::Message { message: with_id(&text, id), session: None }),
                Say::Session(session, result) => {
                    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                    Ok(Reply::Message { message: text.into(), session: Some(HeaderValue::from_str(&session).unwrap()) })
                }
                Say::Refusal(status, code) => {
                    // The id that the Python SDK gives to what it turns down unread.
                    let text =
                        format!(r#"{{"jsonrpc":"2.0","id":"server-error","error":{{"code":{code},"message":"no"}}}}"#);
                    Ok(Reply::Refusal { status, message: text.into() })
                }
                Say::Stream(messages) => {
                    let messages = stream_of(messages, id).chain(stream::pending()).boxed();
                    Ok(Reply::Stream { first: None, messages, session: None })
                }
                Say::Slowly(messages) => {
                    let slowly = stream_of(messages, id).then(async |message| {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        message
                    });
                    let messages = slowly.chain(stream::pending()).boxed();
                    Ok(Reply::Stream { first: None, messages, session: None })
                }
                Say::Begun(mut messages) => {
                    let first = Some(with_id(&messages.remove(0), id));
                    let messages = stream_of(messages, id).chain(stream::pending()).boxed();
                    Ok(Reply::Stream { first, messages, session: None })
                }
                Say::Broken(messages) => {
                    let end = stream::iter([Err(TransportError::Disconnected("broken".to_owned()))]);
                    Ok(Reply::Stream {
                        first: None,
                        messages: stream_of(messages, id).chain(end).boxed(),
                        session: None,
                    })
                }
                Say::Fail(error) => Err(error),
                Say::Hang => {
                    tokio::time::sleep_until(outgoing.deadline).await;
                    Err(TransportError::TimedOut)
                }
            }
        }
        .boxed()
    }

    fn notify(&self, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        async move {
            let message: Value = serde_json::from_slice(&body).unwrap();
            self.hear(message["method"].as_str().unwrap_or("response"), &body, headers);
            Ok(())
        }
        .boxed()
    }

    fn is_pipe(&self) -> bool {
        self.pipe.is_some()
    }

    fn another(&self) -> Option<Arc<dyn Transport>> {
        self.pipe?;
        let mut others = self.others.lock().unwrap();
        let another = Arc::new(Self::over(Arc::clone(&self.say), Some(others.len() + 1), None));
        others.push(Arc::clone(&another));
        Some(another)
    }

    fn has_handshake(&self) -> bool {
        *self.fell_back.lock().unwrap() == Some(true)
    }

    fn fall_back(&self) -> bool {
        let mut fell_back = self.fell_back.lock().unwrap();
        fell_back.as_mut().is_some_and(|fell_back| !std::mem::replace(fell_back, true))
    }

    fn lost(&self) -> watch::Receiver<u64> {
        self.lost.subscribe()
    }

    fn listen(&self, headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        async move {
            match (self.say)(&self.hear("GET", b"", headers)) {
                Say::Stream(messages) => Ok(stream_of(messages, 0).chain(stream::pending()).boxed()),
                Say::Broken(messages) => Ok(stream_of(messages, 0)),
                Say::Fail(error) => Err(error),
                _ => Err(TransportError::Status(405)),
            }
        }
        .boxed()
    }

    fn end_session(&self, headers: HeaderMap) -> BoxFuture<'_, ()> {
        async move {
            self.hear("DELETE", b"", headers);
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async { self.closed.store(true, Ordering::SeqCst) }.boxed()
    }
}
