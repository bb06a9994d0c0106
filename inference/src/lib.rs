//! The language model inside Portcullis.
//!
//! A published checkpoint becomes a [chat engine](engine): the
//! [`checkpoint`] is read and checked, its weights go to a [`device`] that is
//! chosen at run time, and one thread owns both from then on. Callers hold an
//! [`Engine`](engine::Engine): they submit [messages](chat) and receive text as
//! it is made. The crate knows neither HTTP nor MCP.

mod builtin;
pub mod chat;
pub mod checkpoint;
pub mod device;
pub mod engine;
#[cfg(feature = "cpu")]
mod kernels;
mod language;
mod load;
mod model;
mod open;
#[cfg(feature = "cpu")]
mod pool;
mod priority;
mod prompt;
mod sampling;
pub mod settings;
mod stop;
mod template;
mod text_stream;
mod tokenizer;

pub use open::{DescribeError, describe};
