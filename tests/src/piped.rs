//! An MCP server of one pipe, HTTP+SSE or WebSocket, that behaves as badly as
//! a test asks. It keeps one connection at a time and what it heard on it.

mod behaviour;
mod wire;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::patience::wait_until;

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wire {
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// WebSocket.
    WebSocket,
}

/// The running server; it stops with this value.
#[derive(Debug)]
pub struct Piped {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

/// What the server's threads share.
#[derive(Debug)]
struct State {
    wire: Wire,
    /// What the `endpoint` event of HTTP+SSE names.
    endpoint: String,
    /// The connection on which it speaks.
    speaking: Mutex<Option<TcpStream>>,
    seen: Mutex<Vec<Value>>,
    /// The head of each request that opened a pipe.
    openings: Mutex<Vec<String>>,
    pipes: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

// === impl Piped ===

impl Piped {
    /// A server on a free port.
    pub fn start(wire: Wire) -> Self {
        Self::start_with_endpoint(wire, "/messages?session=1")
    }

    /// A server of HTTP+SSE that has messages posted there.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn start_with_endpoint(wire: Wire, endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            wire,
            endpoint: endpoint.to_owned(),
            speaking: Mutex::default(),
            seen: Mutex::default(),
            openings: Mutex::default(),
            pipes: AtomicUsize::new(0),
            sockets: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accepting = Some(thread::spawn(move || accept(&listener, &shared)));
        Self { address, state, accepting }
    }

    /// Where it is, as a configuration says it.
    pub fn url(&self) -> String {
        match self.state.wire {
            Wire::Sse => format!("http://{}/sse", self.address),
            Wire::WebSocket => format!("ws://{}/ws", self.address),
        }
    }

    /// Every message heard with this method; those without one are answers.
    pub fn seen(&self, method: &str) -> Vec<Value> {
        let seen = lock(&self.state.seen);
        seen.iter().filter(|message| message["method"].as_str().unwrap_or_default() == method).cloned().collect()
    }

    /// The head of each request that opened a pipe.
    pub fn openings(&self) -> Vec<String> {
        lock(&self.state.openings).clone()
    }

    /// How many pipes were ever opened.
    pub fn pipes(&self) -> usize {
        self.state.pipes.load(Ordering::SeqCst)
    }

    /// Waits until a tool was called so often.
    pub fn wait_called(&self, tool: &str, times: usize) {
        let called = || self.seen("tools/call").iter().filter(|call| call["params"]["name"] == tool).count();
        wait_until("the upstream to be called", || called() >= times);
    }

    /// Says something of its own accord.
    ///
    /// # Panics
    ///
    /// When nobody is connected.
    pub fn say(&self, message: &Value) {
        self.state.say(message.to_string().as_bytes()).expect("somebody is connected");
    }

    /// Cuts the pipe.
    pub fn cut(&self) {
        if let Some(speaking) = lock(&self.state.speaking).take() {
            let _ = speaking.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        for socket in lock(&self.state.sockets).iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

// === impl State ===

impl State {
    /// Takes over a connection as the pipe.
    fn opened(&self, head: String, socket: &TcpStream) -> io::Result<()> {
        lock(&self.openings).push(head);
        *lock(&self.speaking) = Some(socket.try_clone()?);
        self.pipes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Sends one message, or something that is none.
    fn say(&self, message: &[u8]) -> io::Result<()> {
        let speaking = lock(&self.speaking);
        let mut speaking = speaking.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        match self.wire {
            Wire::Sse => wire::write_event(&mut speaking, "message", message),
            Wire::WebSocket => wire::write_text(&mut speaking, message),
        }
    }

    /// Hears one message.
    fn hear(&self, message: &[u8]) -> io::Result<()> {
        let message: Value = serde_json::from_slice(message).unwrap_or_default();
        lock(&self.seen).push(message.clone());
        behaviour::answer(&message, self)
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for socket in listener.incoming().map_while(Result::ok) {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(kept) = socket.try_clone() {
            lock(&state.sockets).push(kept);
        }
        let state = Arc::clone(state);
        thread::spawn(move || {
            // A connection that breaks is what most of these tests are about.
            let _ = match state.wire {
                Wire::Sse => wire::serve_http(&socket, &state),
                Wire::WebSocket => wire::serve_websocket(&socket, &state),
            };
            let _ = socket.shutdown(Shutdown::Both);
        });
    }
}

/// A panic elsewhere fails its own test; the data here stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
