//! `config.json`: what the decoder looks like.

use super::{
    CheckpointError, Files,
    family::Family,
    header::Dtype,
    json::{self, Object},
    rope::{self, Rope},
    windows,
};

/// Bytes that `config.json` may have.
const MAX_BYTES: u64 = 1 << 20;
/// Positions that a decoder may have. This and the bounds below lie far above
/// any published model, and low enough that no product of them overflows.
pub(super) const MAX_POSITIONS: usize = 1 << 24;
const MAX_WIDTH: usize = 1 << 20;
const MAX_VOCABULARY: usize = 1 << 22;
const MAX_LAYERS: usize = 1024;
const MAX_HEADS: usize = 1024;
const MAX_HEAD_DIM: usize = 1024;

/// A decoder, described by its properties: one description for all families.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family it belongs to; nothing is computed from it.
    pub family: Family,
    /// Tokens that it knows.
    pub vocab_size: usize,
    /// Values per token between layers.
    pub hidden_size: usize,
    /// Values per token within a feed-forward block.
    pub intermediate_size: usize,
    /// How many blocks of attention and feed-forward.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Values per head; even, and not always `hidden_size / heads`.
    pub head_dim: usize,
    /// Added to the mean square before its root, in every normalisation.
    pub norm_eps: f64,
    /// How positions are told apart.
    pub rope: Rope,
    /// Positions that it was made for.
    pub max_positions: usize,
    /// By layer, how many positions each position sees, itself the last of
    /// them; `None` where it sees all before it.
    pub windows: Vec<Option<usize>>,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether attention's output has a bias.
    pub output_bias: bool,
    /// Whether the three projections of feed-forward have biases.
    pub mlp_bias: bool,
    /// Whether each head's queries and keys are normalised before rotation.
    pub qk_norm: bool,
    /// Whether the embedding serves as output projection too.
    pub tied_embeddings: bool,
    /// In which precision it was made, if the file says.
    pub dtype: Option<Dtype>,
    /// Tokens that end an answer, as this file says.
    pub end_tokens: Vec<u32>,
}

// === impl ModelConfig ===

impl ModelConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    ///
    /// If it is missing, or describes no decoder that is known; by key.
    pub fn read(files: &Files) -> Result<Self, CheckpointError> {
        Self::parse(&files.require("config.json", MAX_BYTES)?)
    }

    /// Parses the contents of `config.json`.
    ///
    /// # Errors
    ///
    /// If it describes no decoder that is known; by key.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let entries = json::parse("config.json", bytes)?;
        let config = Object::new("config.json", &entries);
        let family = family(&config)?;
        refuse_unknown_arithmetic(&config)?;
        let defaults = family.defaults();

        let vocab_size = config.require_count("vocab_size", 1..=MAX_VOCABULARY)?;
        let hidden_size = config.require_count("hidden_size", 1..=MAX_WIDTH)?;
        let layers = config.require_count("num_hidden_layers", 1..=MAX_LAYERS)?;
        let heads = config.require_count("num_attention_heads", 1..=MAX_HEADS)?;
        let max_positions = config.count("max_position_embeddings", 1..=MAX_POSITIONS)?;
        let (rope, max_positions) = rope::read(&config, max_positions.unwrap_or(defaults.max_positions))?;
        let attention_bias = config.flag("attention_bias")?.unwrap_or(false);
        Ok(Self {
            family,
            vocab_size,
            hidden_size,
            intermediate_size: config.require_count("intermediate_size", 1..=MAX_WIDTH)?,
            layers,
            heads,
            kv_heads: kv_heads(&config, heads, defaults.kv_heads)?,
            head_dim: head_dim(&config, hidden_size, heads, defaults.head_dim)?,
            norm_eps: config.number("rms_norm_eps", f64::MIN_POSITIVE..=1.0)?.unwrap_or(1e-6),
            rope,
            max_positions,
            windows: windows::read(&config, family, layers, max_positions)?,
            // What each family's attention does with the key: transformers, `models/*/modeling_*.py`.
            qkv_bias: match family {
                Family::Llama | Family::Qwen3 => attention_bias,
                Family::Mistral => false,
                Family::Qwen2 => true,
            },
            output_bias: matches!(family, Family::Llama | Family::Qwen3) && attention_bias,
            mlp_bias: family == Family::Llama && config.flag("mlp_bias")?.unwrap_or(false),
            qk_norm: family == Family::Qwen3,
            tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(false),
            dtype: dtype(&config),
            end_tokens: if config.mentions("eos_token_id") {
                token_ids(&config, "eos_token_id", vocab_size)?
            } else {
                defaults.end_token.into_iter().filter(|token| (*token as usize) < vocab_size).collect()
            },
        })
    }

    /// Up to how many positions back a layer sees, the position itself
    /// included; `None` where it sees all of them.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.windows.get(layer).copied().flatten()
    }
}

fn family(config: &Object) -> Result<Family, CheckpointError> {
    let name = config.text("model_type")?.ok_or_else(|| config.fault("model_type", "is missing"))?;
    let unknown = || CheckpointError::UnknownFamily { family: name.chars().take(64).collect() };
    Family::named(name).ok_or_else(unknown)
}

/// Refuses what changes the arithmetic and is not implemented.
fn refuse_unknown_arithmetic(config: &Object) -> Result<(), CheckpointError> {
    let activation = config.text("hidden_act")?.unwrap_or("silu");
    if !matches!(activation, "silu" | "swish") {
        let activation: String = activation.chars().take(64).collect();
        return Err(config.fault("hidden_act", format!("is {activation:?}; supported is silu")));
    }
    if config.value("quantization_config").is_some() {
        let problem = "says that the weights are quantised already; supported are F32, F16 and BF16";
        return Err(config.fault("quantization_config", problem));
    }
    Ok(())
}

fn kv_heads(config: &Object, heads: usize, default: Option<usize>) -> Result<usize, CheckpointError> {
    const KEY: &str = "num_key_value_heads";
    let default = if config.mentions(KEY) { heads } else { default.unwrap_or(heads) };
    let kv_heads = config.count(KEY, 1..=MAX_HEADS)?.unwrap_or(default);
    if heads.is_multiple_of(kv_heads) {
        return Ok(kv_heads);
    }
    Err(config.fault(KEY, format!("is {kv_heads}, which does not divide num_attention_heads, {heads}")))
}

fn head_dim(
    config: &Object,
    hidden_size: usize,
    heads: usize,
    default: Option<usize>,
) -> Result<usize, CheckpointError> {
    let stated = config.count("head_dim", 2..=MAX_HEAD_DIM)?.or(default);
    if stated.is_none() && !hidden_size.is_multiple_of(heads) {
        let problem = format!("is {heads}, which does not divide hidden_size, {hidden_size}");
        return Err(config.fault("num_attention_heads", problem));
    }
    let head_dim = stated.unwrap_or(hidden_size / heads);
    if head_dim.is_multiple_of(2) && (2..=MAX_HEAD_DIM).contains(&head_dim) {
        return Ok(head_dim);
    }
    Err(config.fault("head_dim", format!("is {head_dim}; it must be even and from 2 to {MAX_HEAD_DIM}")))
}

/// `dtype`, once `torch_dtype`. Only informative: each tensor says its own.
fn dtype(config: &Object) -> Option<Dtype> {
    let name = config.value("dtype").or(config.value("torch_dtype"))?.as_str()?;
    match name.strip_prefix("torch.").unwrap_or(name) {
        "float32" => Some(Dtype::F32),
        "float16" => Some(Dtype::F16),
        "bfloat16" => Some(Dtype::BF16),
        _ => None,
    }
}

/// One token or a list of them. Those outside of the vocabulary are left out:
/// they can never come up, and published files do name some.
pub(super) fn token_ids(object: &Object, key: &str, vocab_size: usize) -> Result<Vec<u32>, CheckpointError> {
    const MOST: usize = 256;
    let one = |value: &serde_json::Value| {
        let token = value.as_i64().ok_or_else(|| object.fault(key, "must be a token or a list of tokens"))?;
        Ok(u32::try_from(token).ok().filter(|token| (*token as usize) < vocab_size))
    };
    match object.value(key) {
        None => Ok(Vec::new()),
        Some(serde_json::Value::Array(tokens)) if tokens.len() > MOST => {
            Err(object.fault(key, format!("lists more than {MOST} tokens")))
        }
        Some(serde_json::Value::Array(tokens)) => tokens.iter().filter_map(|token| one(token).transpose()).collect(),
        Some(token) => Ok(one(token)?.into_iter().collect()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
