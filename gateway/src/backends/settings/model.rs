//! What the configuration says of a model.

use std::path::PathBuf;
use std::sync::Arc;

/// One language model in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Its name in the configuration, which is its tool's.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: ModelSource,
    /// What it may run on.
    pub device: ModelDevice,
    /// In what form its weights are kept.
    pub quantization: Quantization,
    /// Tokens of a prompt and its answer together; fewer where the model was
    /// made for fewer.
    pub context_length: usize,
    /// Conversations computed at once.
    pub max_concurrent: usize,
    /// Conversations that wait at most.
    pub max_queue: usize,
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The demonstration model inside the program.
    BuiltIn,
    /// A folder with a checkpoint.
    Folder(PathBuf),
}

/// What a model may run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelDevice {
    /// A real GPU if there is one, else the CPU.
    Auto,
    /// A real GPU.
    Gpu,
    /// The CPU.
    Cpu,
    /// The adapter whose name contains this.
    Named(String),
}

/// In what form weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// As they are in the checkpoint.
    None,
    /// Eight bits each.
    Q8,
    /// Four bits each.
    Q4,
}
