//! What is configured of one model.

use std::path::PathBuf;

/// Where the checkpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The demonstration model inside the program.
    BuiltIn,
    /// A directory as published on Hugging Face.
    Directory(PathBuf),
}

/// What a model may run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU. Never a software adapter.
    #[default]
    Auto,
    /// A real GPU, or nothing.
    Gpu,
    /// The CPU.
    Cpu,
    /// The adapter whose name contains this, ignoring case; software adapters
    /// too.
    Adapter(String),
}

/// In what form weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantization {
    /// As floating-point numbers.
    #[default]
    None,
    /// Eight bits, a scale for each block of 32.
    Q8,
    /// Four bits, a scale for each block of 32.
    Q4,
}

/// One model, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Under which it is known: the tool's name.
    pub name: String,
    /// Where the checkpoint is.
    pub source: Source,
    /// What it may run on.
    pub device: DeviceChoice,
    /// In what form weights are kept.
    pub quantization: Quantization,
    /// Tokens of prompt and answer together; at most what the checkpoint was
    /// made for.
    pub context_length: usize,
    /// Conversations computed at once.
    pub max_concurrent: usize,
    /// Conversations that wait at most; one more is refused.
    pub max_queue: usize,
}
