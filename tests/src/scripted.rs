//! An MCP server that behaves as badly as a test asks: each of its tools is one
//! way to fail. It remembers what it received and what it executed.

mod asking;
mod outage;
mod protocol;
mod tools;
mod verbatim;

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

pub use self::outage::Outage;

use self::verbatim::Verbatim;
use crate::http::{Body, Framing, Headers, read_head};
use crate::patience::{PATIENCE, wait_until};

/// Where a stream is to be taken up again.
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// Which revisions the server speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Era {
    /// The handshake revisions, with sessions.
    Legacy,
    /// 2026-07-28 alone.
    Modern,
}

/// A message as the server received it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The request's header fields.
    pub headers: Headers,
    /// The body.
    pub body: Value,
    /// The body's bytes.
    pub raw: Vec<u8>,
}

/// The running server; it stops with this value.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

/// What the server's threads share.
#[derive(Debug)]
struct State {
    era: Era,
    seen: Mutex<Vec<Seen>>,
    executed: Mutex<Vec<Seen>>,
    sessions: Mutex<HashSet<String>>,
    sockets: Mutex<Vec<TcpStream>>,
    refusals: AtomicUsize,
    /// How it fails to do anything at all.
    outage: Mutex<Option<Outage>>,
    recovered: Condvar,
    /// What it says to whatever is asked of a method.
    verbatim: Mutex<HashMap<String, Verbatim>>,
    /// What it was answered.
    replies: Mutex<Vec<Seen>>,
    replied: Condvar,
    gate_open: Mutex<bool>,
    gate: Condvar,
    /// The streams of those who listen, where the server offers any.
    listeners: Mutex<Option<Vec<TcpStream>>>,
    stopped: AtomicBool,
}

// === impl Seen ===

impl Seen {
    /// The message's method, or the empty string.
    pub fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }
}

// === impl Scripted ===

impl Scripted {
    /// A server of the handshake revisions.
    pub fn legacy() -> Self {
        Self::listen(Era::Legacy, own_address())
    }

    /// A server of 2026-07-28.
    pub fn modern() -> Self {
        Self::listen(Era::Modern, own_address())
    }

    /// A server on a given address: one that comes back after another stopped there.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub fn listen(era: Era, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            era,
            seen: Mutex::default(),
            executed: Mutex::default(),
            sessions: Mutex::default(),
            sockets: Mutex::default(),
            refusals: AtomicUsize::new(0),
            outage: Mutex::default(),
            recovered: Condvar::new(),
            verbatim: Mutex::default(),
            replies: Mutex::default(),
            replied: Condvar::new(),
            gate_open: Mutex::new(false),
            gate: Condvar::new(),
            listeners: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accepting = Some(thread::spawn(move || accept(&listener, &shared)));
        Self { address, state, accepting }
    }

    /// Which revisions it speaks.
    pub fn era(&self) -> Era {
        self.state.era
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The MCP endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Every message received of one method.
    pub fn seen(&self, method: &str) -> Vec<Seen> {
        lock(&self.state.seen).iter().filter(|seen| seen.method() == method).cloned().collect()
    }

    /// Every request to take a stream up again.
    pub fn resumptions(&self) -> Vec<Seen> {
        lock(&self.state.seen).iter().filter(|seen| seen.headers.get(LAST_EVENT_ID).is_some()).cloned().collect()
    }

    /// Every execution of one tool.
    pub fn executed(&self, tool: &str) -> Vec<Seen> {
        let executed = lock(&self.state.executed);
        executed.iter().filter(|seen| seen.body["params"]["name"] == tool).cloned().collect()
    }

    /// Waits until a tool has been executed so many times.
    pub fn wait_executed(&self, tool: &str, times: usize) {
        wait_until("the upstream to execute a tool", || self.executed(tool).len() >= times);
    }

    /// How many connections were ever opened to it.
    pub fn connections(&self) -> usize {
        lock(&self.state.sockets).len()
    }

    /// Ends every session: the next request in one of them gets 404.
    pub fn forget_sessions(&self) {
        lock(&self.state.sessions).clear();
    }

    /// Answers the next so many requests with 503 without executing them.
    pub fn refuse_next(&self, requests: usize) {
        self.state.refusals.store(requests, Ordering::SeqCst);
    }

    /// Offers streams to those who listen from now on.
    pub fn offer_streams(&self) {
        lock(&self.state.listeners).get_or_insert_default();
    }

    /// Tells everybody who listens.
    ///
    /// # Panics
    ///
    /// When nobody does, in time.
    pub fn announce(&self, method: &str) {
        wait_until("somebody to listen", || lock(&self.state.listeners).as_ref().is_some_and(|all| !all.is_empty()));
        for listener in lock(&self.state.listeners).iter().flatten() {
            // One that has gone hears nothing.
            let _ = tools::chunk(listener, &json!({"jsonrpc": "2.0", "method": method}));
        }
    }

    /// Lets the tools that wait for the gate go on, now and from now on.
    pub fn open_gate(&self) {
        *lock(&self.state.gate_open) = true;
        self.state.gate.notify_all();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which closes the listener: the address is free after this.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        self.open_gate();
        self.recover();
        self.state.replied.notify_all();
        for socket in lock(&self.state.sockets).iter() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

// === impl State ===

impl State {
    fn wait_for_gate(&self) {
        let open = lock(&self.gate_open);
        drop(self.gate.wait_timeout_while(open, PATIENCE, |open| !*open));
    }

    fn take_refusal(&self) -> bool {
        self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// A loopback address that no other server of this run uses, so that nobody
/// answers at the address of one that has stopped.
fn own_address() -> SocketAddr {
    static SERVERS: AtomicU16 = AtomicU16::new(1);
    let [high, low] = SERVERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    SocketAddr::from(([127, 1, high, low], 0))
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for socket in listener.incoming().map_while(Result::ok) {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let state = Arc::clone(state);
        thread::spawn(move || {
            if let Ok(kept) = socket.try_clone() {
                lock(&state.sockets).push(kept);
            }
            // A connection that breaks is what most of these tests are about.
            let _ = serve(&socket, &state);
            let _ = socket.shutdown(std::net::Shutdown::Both);
        });
    }
}

/// Serves one connection until either side has had enough.
fn serve(socket: &TcpStream, state: &State) -> io::Result<()> {
    let mut input = BufReader::new(socket.try_clone()?);
    while let Some((start, headers)) = read_head(&mut input)? {
        let mut body = Body::new(input, Framing::of(&headers, Framing::Length(0)));
        let mut raw = Vec::new();
        body.read_to_end(&mut raw)?;
        input = body.into_inner();
        let seen = Seen { body: serde_json::from_slice(&raw).unwrap_or_default(), headers, raw };
        lock(&state.seen).push(seen.clone());
        let method = start.split(' ').next().unwrap_or_default();
        if !protocol::answer(method, &seen, socket, state)? {
            break;
        }
    }
    Ok(())
}

/// A panic elsewhere fails its own test; the data here stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
