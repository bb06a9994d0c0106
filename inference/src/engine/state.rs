//! How far a model is, and what it turned out to be.

/// What runs where, once it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The model's family: `llama`, `qwen3`.
    pub family: String,
    /// How many weights it has.
    pub parameters: u64,
    /// The device's own name: `NVIDIA H200`, `AMD EPYC 7763`.
    pub device: String,
    /// What computes there: `flex`, `wgpu (vulkan)`.
    pub backend: String,
    /// `f32`, `f16`, `q8`, `q4`.
    pub precision: String,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
    /// Bytes of key-value cache on the device.
    pub cache_bytes: u64,
    /// Tokens of prompt and answer together.
    pub context_length: usize,
    /// Conversations computed at once.
    pub max_concurrent: usize,
}

/// How far a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Being read, put on its device and warmed up.
    Loading {
        /// Bytes of weights read so far.
        done_bytes: u64,
        /// Bytes of weights in all.
        total_bytes: u64,
    },
    /// Answers.
    Ready(Description),
    /// Cannot be loaded; the reason, for the operator.
    Failed(String),
    /// Shut down.
    Stopped,
}

// === impl State ===

impl State {
    /// Before anything was read.
    pub(crate) const NOTHING_LOADED: Self = Self::Loading { done_bytes: 0, total_bytes: 0 };
}
