//! A wire between a client and a gateway that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::patience::wait_until;

/// Hands on what comes in at its own address.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    wires: Mutex<Vec<TcpStream>>,
    /// What came back from the gateway.
    passed: Mutex<Vec<u8>>,
}

// === impl Cutter ===

impl Cutter {
    /// A wire to this address.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn to(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(gateway) else { continue };
                shared.lay(&client, &server);
            }
        });
        Self { address, state }
    }

    /// The MCP endpoint behind the wire.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Waits until the gateway has answered this.
    pub fn wait_passed(&self, text: &str) {
        wait_until("the gateway's words", || {
            let passed = self.state.passed.lock().unwrap_or_else(PoisonError::into_inner);
            passed.windows(text.len()).any(|window| window == text.as_bytes())
        });
    }

    /// Cuts every connection there is; new ones hold.
    pub fn cut(&self) {
        for wire in self.state.wires.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = wire.shutdown(Shutdown::Both);
        }
    }
}

// === impl State ===

impl State {
    fn lay(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        for (from, to, is_answer) in [(client, server, false), (server, client, true)] {
            let (Ok(mut from), Ok(mut to), Ok(wire)) = (from.try_clone(), to.try_clone(), from.try_clone()) else {
                continue;
            };
            self.wires.lock().unwrap_or_else(PoisonError::into_inner).push(wire);
            let state = Arc::clone(self);
            thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    // Written first: who waits for it may count on that.
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                    if is_answer {
                        let mut passed = state.passed.lock().unwrap_or_else(PoisonError::into_inner);
                        passed.extend_from_slice(&buffer[..count]);
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}
