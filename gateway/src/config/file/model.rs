//! One entry of `models`.

use schemars::JsonSchema;
use serde::Deserialize;

/// One model. The name of the entry is that of its tool.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ModelFile {
    /// `builtin`, or a folder with a checkpoint as published on Hugging Face.
    #[schemars(length(min = 1))]
    pub(in crate::config) path: String,
    /// What it runs on: `auto` (a GPU if there is one, else the CPU), `gpu`,
    /// `cpu`, or part of an adapter's name.
    #[serde(default = "default_device")]
    #[schemars(length(min = 1, max = 128), example = &"auto")]
    pub(in crate::config) device: String,
    /// In what form its weights are kept.
    #[serde(default)]
    pub(in crate::config) quantize: QuantizeFile,
    /// Tokens of a conversation and its answer together; at most what the model
    /// was made for.
    #[serde(default = "default_context_length")]
    #[schemars(range(min = 64, max = 1_048_576))]
    pub(in crate::config) context_length: u32,
    /// Conversations computed at once.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 256))]
    pub(in crate::config) max_concurrent: u32,
    /// Conversations that wait for their turn; one more is refused.
    #[serde(default = "default_max_queue")]
    #[schemars(range(min = 0, max = 10_000))]
    pub(in crate::config) max_queue: u32,
}

/// `quantize`
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) enum QuantizeFile {
    /// As they are.
    #[default]
    None,
    /// Eight bits a weight.
    Q8,
    /// Four bits a weight.
    Q4,
}

fn default_device() -> String {
    "auto".to_owned()
}

const fn default_context_length() -> u32 {
    4096
}

const fn default_max_concurrent() -> u32 {
    8
}

const fn default_max_queue() -> u32 {
    64
}
