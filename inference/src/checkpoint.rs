//! A published checkpoint, read and checked before any of it reaches a device.
//!
//! A checkpoint is a directory as published on Hugging Face: `config.json` says
//! what the decoder looks like ([`ModelConfig`]), `generation_config.json` how
//! its makers sample from it ([`Generation`]), and safetensors files hold the
//! weights ([`Tensors`]). The built-in model is the same files inside the
//! program ([`Files`]).
//!
//! Nothing here is trusted: sizes are bounded before anything is allocated,
//! every number and every tensor's name and shape is checked, and each refusal
//! ([`CheckpointError`]) names the file, key or tensor that is at fault.

mod config;
mod error;
mod family;
mod files;
mod frequencies;
mod generation;
mod header;
mod json;
mod layout;
mod rope;
#[cfg(test)]
pub(crate) mod sample;
mod shards;
mod tensors;
mod windows;

pub use config::ModelConfig;
pub use error::CheckpointError;
pub use family::Family;
pub use files::{Files, Stored};
pub use generation::Generation;
pub use header::{Dtype, HeaderFault};
pub use layout::{TensorFaults, TensorSpec};
pub use rope::{Rope, RopeScaling};
pub use tensors::Tensors;
