//! What the black-box tests stand on. It knows the product only as its users
//! do: a binary that is started with a configuration and spoken to over HTTP.
//! It imports no crate of ours.
//!
//! - [`gateway`] starts the real binary and reads its log;
//! - [`upstream`] starts real MCP servers; [`scripted`] is one that fails in
//!   every way a test asks for, [`piped`] the same over HTTP+SSE or WebSocket;
//! - [`issuer`] is a real OpenID provider, beside keys for forging tokens;
//! - [`client`] speaks MCP over plain HTTP, [`sdk`] through the public SDKs;
//! - [`http`] is HTTP/1.1 by hand, so that tests can send what no library would.

pub mod balancer;
pub mod certificates;
pub mod client;
pub mod command;
pub mod cutter;
pub mod gateway;
pub mod http;
pub mod issuer;
pub mod patience;
pub mod peer;
pub mod piped;
pub mod scripted;
pub mod sdk;
pub mod upstream;

pub use serde_json::{Map, Value, json};
