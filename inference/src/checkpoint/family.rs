//! The families of decoders that are known, and what sets them apart.

/// What `model_type` in `config.json` names. The families share one decoder;
/// what they differ in stands in [`ModelConfig`](super::ModelConfig), and here
/// is only what a file leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Llama 1 to 3, SmolLM, TinyLlama.
    Llama,
    /// Mistral, with its sliding window.
    Mistral,
    /// Qwen 2 and 2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen 3: normalised queries and keys.
    Qwen3,
}

/// What transformers takes for a key that `config.json` leaves out.
pub(super) struct Defaults {
    /// `None`: as many as there are query heads.
    pub(super) kv_heads: Option<usize>,
    /// `None`: hidden size by heads.
    pub(super) head_dim: Option<usize>,
    pub(super) max_positions: usize,
    /// `sliding_window`.
    pub(super) window: Option<usize>,
    /// `eos_token_id`.
    pub(super) end_token: Option<u32>,
}

// === impl Family ===

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// As `model_type` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The family of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == name)
    }

    /// The names of all, for a sentence.
    pub(super) fn known() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// transformers: `models/*/configuration_*.py`.
    pub(super) const fn defaults(self) -> Defaults {
        let qwen =
            Defaults { kv_heads: Some(32), head_dim: None, max_positions: 32_768, window: Some(4096), end_token: None };
        match self {
            Self::Llama => {
                Defaults { kv_heads: None, head_dim: None, max_positions: 2048, window: None, end_token: Some(2) }
            }
            Self::Mistral => Defaults {
                kv_heads: Some(8),
                head_dim: None,
                max_positions: 131_072,
                window: Some(4096),
                end_token: Some(2),
            },
            Self::Qwen2 => qwen,
            Self::Qwen3 => Defaults { head_dim: Some(128), ..qwen },
        }
    }
}
