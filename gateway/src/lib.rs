//! Portcullis: an MCP gateway appliance.
//!
//! # The life of a request
//!
//! A connection comes in through a [`listener`], which knows TCP, TLS and
//! HTTP framing and nothing else. Each request then runs down the list in
//! [`stack`]: it is given a record, its address and origin are checked, its
//! caller is [authenticated](auth), and `decode` turns it from HTTP into one
//! typed [MCP request](mcp). From there on policy and rate limit decide by
//! principal and tool, and the [`router`] hands the call to a
//! [backend](backends): an upstream MCP server or a language model in this
//! process. Answers travel back up as they arrive. Whatever refuses on
//! the way says so with a [`Rejection`](rejection::Rejection), which becomes
//! a status and a JSON-RPC code in one place, `middleware::respond`.
//!
//! # Who may import whom
//!
//! A line may import only the lines below it; `tests/floors.rs` reads this
//! table and checks.
//!
//! ```text
//! main
//! cli
//! app
//! stack  config
//! middleware  router
//! auth  admin  backends  reload
//! mcp  http_client  telemetry  audit  listener  websocket  replicas
//! body  record
//! seal
//! secret  running  metrics  rejection  door  timestamp
//! decimal
//! ```

pub mod admin;
pub mod app;
pub mod audit;
pub mod auth;
pub mod backends;
pub mod body;
pub mod cli;
pub mod config;
mod decimal;
pub mod door;
pub mod http_client;
pub mod listener;
pub mod mcp;
pub mod metrics;
pub mod middleware;
pub mod record;
pub mod rejection;
pub mod reload;
pub mod replicas;
pub mod router;
pub mod running;
pub mod seal;
pub mod secret;
pub mod stack;
pub mod telemetry;
mod timestamp;
pub mod websocket;
