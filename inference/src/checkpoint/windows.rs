//! How far back each layer sees.

use super::{CheckpointError, config::MAX_POSITIONS, family::Family, json::Object};

/// By layer, as transformers decides it. For mistral `layer_types` counts too:
/// with them, transformers takes the model for a ministral.
pub(super) fn read(
    config: &Object,
    family: Family,
    layers: usize,
    max_positions: usize,
) -> Result<Vec<Option<usize>>, CheckpointError> {
    const KEY: &str = "sliding_window";
    let used = match family {
        Family::Llama => false,
        Family::Mistral => true,
        Family::Qwen2 | Family::Qwen3 => config.flag("use_sliding_window")?.unwrap_or(false),
    };
    let default = if config.mentions(KEY) { None } else { family.defaults().window };
    let window = if used { config.count(KEY, 1..=MAX_POSITIONS)?.or(default) } else { None };
    // A window over all positions hides nothing.
    let effective = window.filter(|window| *window < max_positions);
    let layer_types = if family == Family::Llama { None } else { config.list("layer_types")? };
    if let Some(types) = layer_types {
        if types.len() != layers {
            let problem = format!("has {} entries where num_hidden_layers is {layers}", types.len());
            return Err(config.fault("layer_types", problem));
        }
        let of_type = |kind: &serde_json::Value| match kind.as_str() {
            Some("full_attention") => Ok(None),
            Some("sliding_attention") if window.is_some() => Ok(effective),
            Some("sliding_attention") => {
                Err(config.fault("layer_types", "asks for a window, and sliding_window gives none"))
            }
            _ => Err(config.fault("layer_types", "may contain full_attention and sliding_attention alone")),
        };
        return types.iter().map(of_type).collect();
    }
    let first = match family {
        Family::Llama | Family::Mistral => 0,
        Family::Qwen2 | Family::Qwen3 => config.count("max_window_layers", 0..=MAX_POSITIONS)?.unwrap_or(28),
    };
    Ok((0..layers).map(|layer| effective.filter(|_| layer >= first)).collect())
}
