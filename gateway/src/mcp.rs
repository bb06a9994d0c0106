//! The Model Context Protocol as the gateway needs it: envelopes, revisions,
//! sessions and event streams. No sockets.
//!
//! A message is scanned once and kept as the bytes it came in. What the
//! gateway must change it changes by [splicing](splice), so that unknown
//! members, the text of numbers and the order of keys reach the other side as
//! they were written.

pub mod answer;
pub mod arguments;
pub mod asks;
pub mod capabilities;
pub mod changes;
pub mod envelope;
pub mod event_id;
pub mod in_flight;
pub mod json;
pub mod log_level;
pub mod meta;
pub mod mirror;
pub mod operation;
pub mod outbox;
pub mod params;
pub mod places;
pub mod reference;
pub mod replay;
pub mod request;
mod ring;
pub mod scanner;
pub mod session;
pub mod splice;
pub mod sse;
pub mod streams;
pub mod subscription_filter;
pub mod subscriptions;
pub mod task;
#[cfg(test)]
pub(crate) mod test_request;
pub mod update;
pub mod version;

#[cfg(test)]
mod properties;
