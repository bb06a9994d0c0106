//! A plain round-robin before several gateways, as a load balancer is: every
//! request goes to the next one, over a connection of its own, whatever session
//! it is of. Who does not listen is passed over.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::http::{Body, Framing, Request, read_head};

/// Hands each request to the next gateway.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    gateways: Arc<Gateways>,
}

#[derive(Debug)]
struct Gateways {
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
    /// Which gateway got which request line, in order.
    handed: Mutex<Vec<(SocketAddr, String)>>,
    /// The request lines of those whose answers have ended.
    ended: Mutex<Vec<String>>,
}

// === impl Balancer ===

impl Balancer {
    /// A balancer before the gateways at these addresses.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn before(addresses: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (addresses, turn) = (addresses.to_vec(), AtomicUsize::new(0));
        let gateways = Arc::new(Gateways { addresses, turn, handed: Mutex::default(), ended: Mutex::default() });
        let shared = Arc::clone(&gateways);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let gateways = Arc::clone(&shared);
                thread::spawn(move || {
                    // Connections that break are what some of these tests are about.
                    let _ = gateways.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, gateways }
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path behind it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests a gateway was handed whose first line begins so.
    pub fn handed(&self, gateway: SocketAddr, beginning: &str) -> usize {
        let handed = self.gateways.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.iter().filter(|(to, line)| *to == gateway && line.starts_with(beginning)).count()
    }

    /// Whether every request has its whole answer whose first line begins so.
    pub fn is_quiet(&self, beginning: &str) -> bool {
        // Counted in this order, so that none is answered before it was handed on.
        let ended = self.gateways.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = ended.iter().filter(|line| line.starts_with(beginning)).count();
        let handed = self.gateways.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.iter().filter(|(_, line)| line.starts_with(beginning)).count() == ended
    }
}

// === impl Gateways ===

impl Gateways {
    /// Serves one request; its answer ends the connection.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut input = BufReader::new(client.try_clone()?);
        let Some((line, mut headers)) = read_head(&mut input)? else { return Ok(()) };
        let mut body = Body::new(input, Framing::of(&headers, Framing::Length(0)));
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        headers.remove("Transfer-Encoding");
        headers.set("Connection", "close");
        let request = Request { headers, ..Request::new(method, path) }.body(bytes);
        let gateway = self.next(&line)?;
        gateway.set_nodelay(true)?;
        let mut out = gateway.try_clone()?;
        out.write_all(&request.head("gateway"))?;
        out.write_all(&request.body)?;
        // A client that goes away is gone for the gateway, too.
        let (mut leaving, left) = (body.into_inner(), gateway.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut leaving, &mut io::sink());
            let _ = left.shutdown(Shutdown::Both);
        });
        pass(gateway, client.try_clone()?)?;
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(())
    }

    /// A connection to the next gateway that listens.
    fn next(&self, line: &str) -> io::Result<TcpStream> {
        let mut failed = io::ErrorKind::NotConnected.into();
        for _ in &self.addresses {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let address = self.addresses[turn % self.addresses.len()];
            match TcpStream::connect(address) {
                Ok(gateway) => {
                    let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
                    handed.push((address, line.to_owned()));
                    return Ok(gateway);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Passes on what comes, as it comes.
fn pass(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    while let count @ 1.. = from.read(&mut buffer)? {
        to.write_all(&buffer[..count])?;
    }
    Ok(())
}
