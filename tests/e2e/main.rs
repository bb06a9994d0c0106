//! One binary for all end-to-end tests, one module per promise. Every test
//! starts the real gateway and speaks to it as a user would.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answered_sampling;
mod authentication;
mod batches;
mod built_in_default;
mod catalogue;
mod chat;
mod command_line_clients;
mod commands;
mod configuration;
mod event_source_front;
mod fidelity;
mod fronts;
mod harness;
mod legacy;
mod modern;
mod observability;
mod parallel;
mod piped_questions;
mod policies;
mod questions;
mod rate_limits;
mod refusals;
mod reload;
mod replicas;
mod rest;
mod routing;
mod schemas;
mod sdk_clients;
mod sealing;
mod shutdown;
mod standing;
mod stdio_front;
mod streaming;
mod subscriptions;
mod tasks;
mod tls;
mod tokens;
mod transports;
mod upstream_faults;
mod websocket_front;
