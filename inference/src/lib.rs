//! The language model inside Portcullis.
//!
//! A published checkpoint becomes a [chat engine](engine): the
//! [`checkpoint`] is read and checked, its weights go to a [`device`] that is
//! chosen at run time, and one thread owns both from then on. Callers hold an
//! [`Engine`](engine::Engine): they submit [messages](chat) and receive text as
//! it is made. The crate knows neither HTTP nor MCP.

pub mod chat;
pub mod device;
pub mod engine;
pub mod settings;
