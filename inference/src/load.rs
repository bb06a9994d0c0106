//! From a checkpoint's files to a decoder on its device.

mod budget;
mod weights;

use burn::tensor::DType;

use self::budget::Budget;
use self::weights::Weights;
use crate::checkpoint::{CheckpointError, Dtype, Files, ModelConfig, Tensors};
use crate::device::{self, DeviceError, Placement};
use crate::engine::Description;
use crate::engine::load::Progress;
use crate::model::{Attention, Block, Cache, Decoder, FeedForward, Rotary};
use crate::settings::{DeviceChoice, ModelSettings, Quantization};

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The files are not what they should be.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is nothing to run it on.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It does not fit; the arithmetic.
    #[error("the model does not fit: {0}")]
    DoesNotFit(String),
    /// Whoever heard of the progress broke it off.
    #[error("the load was broken off")]
    BrokenOff,
}

/// A model as it would be loaded; nothing of its weights is read yet.
pub(crate) struct Plan {
    tensors: Tensors,
    placement: Placement,
    dtype: DType,
    /// What runs where.
    pub(crate) description: Description,
}

/// Finds out whether a model can be loaded as `settings` say, and what that
/// would come to.
///
/// # Errors
///
/// If the files, the device or the memory are not what the model needs.
pub(crate) fn plan(files: &Files, config: &ModelConfig, settings: &ModelSettings) -> Result<Plan, LoadError> {
    let tensors = Tensors::open(files)?;
    tensors.check(config)?;
    let placement = device::choose(&settings.device)?;
    match place(config, settings, &tensors, placement) {
        Err(LoadError::DoesNotFit(reason)) if settings.device == DeviceChoice::Auto && cfg!(feature = "cpu") => {
            tracing::warn!(reason, "a model is loaded on the CPU");
            place(config, settings, &tensors, device::host()?)
        }
        placed => placed,
    }
    .map(|(placement, dtype, description)| Plan { tensors, placement, dtype, description })
}

/// What a model comes to on a device, if it fits.
fn place(
    config: &ModelConfig,
    settings: &ModelSettings,
    tensors: &Tensors,
    placement: Placement,
) -> Result<(Placement, DType, Description), LoadError> {
    let published = tensors.dtype("model.embed_tokens.weight");
    let dtype = match published {
        // Half precision where a GPU has it and the checkpoint has no more.
        Some(Dtype::F16 | Dtype::BF16) if placement.half => DType::F16,
        _ => DType::F32,
    };
    let budget = Budget::new(config, settings, tensors, &placement, dtype);
    budget.check(&placement)?;
    let precision = match settings.quantization {
        Quantization::Q8 => "q8",
        Quantization::Q4 => "q4",
        Quantization::None if placement.host && published == Some(Dtype::BF16) => "bf16",
        Quantization::None => dtype.name(),
    };
    let description = Description {
        family: config.family.as_str().to_owned(),
        parameters: config.parameters(),
        device: placement.name.clone(),
        backend: placement.backend.clone(),
        precision: precision.to_owned(),
        weight_bytes: budget.weight_bytes,
        cache_bytes: budget.cache_bytes,
        context_length: settings.context_length,
        max_concurrent: settings.max_concurrent,
    };
    Ok((placement, dtype, description))
}

/// Loads a model as `settings` say; `progress` hears of each part that was
/// read.
///
/// # Errors
///
/// As [`plan`], if a file is not what its header says, and where `progress`
/// breaks it off.
pub(crate) fn load(
    files: &Files,
    config: &ModelConfig,
    settings: &ModelSettings,
    progress: Progress<'_>,
) -> Result<(Decoder, Description), LoadError> {
    let plan = plan(files, config, settings)?;
    let mut weights = Weights {
        tensors: &plan.tensors,
        placement: &plan.placement,
        dtype: plan.dtype,
        quantization: settings.quantization,
        progress,
        done_bytes: 0,
        total_bytes: config.tensors().iter().map(|spec| plan.tensors.stored_bytes(&spec.name)).sum(),
    };
    Ok((assemble(config, settings, &mut weights)?, plan.description))
}

/// Builds the decoder from its weights.
fn assemble(config: &ModelConfig, settings: &ModelSettings, weights: &mut Weights<'_>) -> Result<Decoder, LoadError> {
    let (device, dtype) = (weights.placement.device.clone(), weights.dtype);
    let (embedding, tied) = weights.embedding("model.embed_tokens", config)?;
    let cache = [settings.max_concurrent, config.kv_heads, settings.context_length, config.head_dim];
    let mut layers = Vec::with_capacity(config.layers);
    for layer in 0..config.layers {
        layers.push((block(config, settings, layer, weights)?, Cache::new(cache, &device, dtype)));
    }
    let norm = weights.norm("model.norm", config)?;
    let head = match tied {
        Some(tied) => tied,
        None => weights.projection(&["lm_head".to_owned()], config.hidden_size)?,
    };
    let (frequencies, magnitude) = config.rope.inverse_frequencies(config.head_dim);
    Ok(Decoder {
        on_host: weights.placement.host,
        dtype,
        embedding,
        layers,
        norm,
        head,
        rotary: Rotary::new(&frequencies, magnitude, settings.context_length, weights.placement, dtype),
        slots: settings.max_concurrent,
        context_length: settings.context_length,
        device,
    })
}

fn block(
    config: &ModelConfig,
    settings: &ModelSettings,
    layer: usize,
    weights: &mut Weights<'_>,
) -> Result<Block, LoadError> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.heads * config.head_dim;
    let qkv = [name("self_attn.q_proj"), name("self_attn.k_proj"), name("self_attn.v_proj")];
    let gate_up = [name("mlp.gate_proj"), name("mlp.up_proj")];
    let qk_norm = match config.qk_norm {
        true => {
            let query_norm = weights.norm(&name("self_attn.q_norm"), config)?;
            Some((query_norm, weights.norm(&name("self_attn.k_norm"), config)?))
        }
        false => None,
    };
    Ok(Block {
        attention_norm: weights.norm(&name("input_layernorm"), config)?,
        attention: Attention {
            qkv: weights.linear(&qkv, hidden, config.qkv_bias)?,
            output: weights.linear(&[name("self_attn.o_proj")], queries, config.output_bias)?,
            qk_norm,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            // A window as long as the whole context hides nothing.
            window: config.window(layer).filter(|window| *window < settings.context_length),
        },
        feed_forward_norm: weights.norm(&name("post_attention_layernorm"), config)?,
        feed_forward: FeedForward {
            gate_up: weights.linear(&gate_up, hidden, config.mlp_bias)?,
            down: weights.linear(&[name("mlp.down_proj")], inner, config.mlp_bias)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::settings::{DeviceChoice, Source};

    #[test]
    fn a_load_that_is_broken_off_reads_no_further() {
        let files = crate::builtin::files();
        let config = ModelConfig::read(&files).unwrap();
        let settings = ModelSettings {
            name: "chat".to_owned(),
            source: Source::BuiltIn,
            device: DeviceChoice::Cpu,
            quantization: Quantization::None,
            context_length: 64,
            max_concurrent: 1,
            max_queue: 1,
        };
        let mut parts = 0;
        let outcome = load(&files, &config, &settings, &mut |_, _| {
            parts += 1;
            if parts == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(outcome, Err(LoadError::BrokenOff)));
        assert_eq!(parts, 3);
    }
}
