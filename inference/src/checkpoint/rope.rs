//! How positions are told apart: rotary embedding and its scaling, as written.
//!
//! transformers 5 writes `rope_parameters`; earlier ones `rope_theta` beside
//! `rope_scaling`, whose kind was once called `type`.

use super::{CheckpointError, json::Object};

/// Rotary position embedding (Su et al. 2021, RoFormer).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the wavelengths.
    pub theta: f64,
    /// How it is stretched to a longer context.
    pub scaling: RopeScaling,
}

/// How a rotary embedding is stretched beyond the context of its training.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All wavelengths by one factor.
    Linear {
        /// By how much.
        factor: f64,
    },
    /// Long wavelengths by a factor, short ones not, those between by degrees
    /// (Llama 3.1).
    Llama3 {
        /// By how much.
        factor: f64,
        /// Wavelengths above the original context divided by this are stretched.
        low_frequency_factor: f64,
        /// Wavelengths below the original context divided by this are not.
        high_frequency_factor: f64,
        /// Positions before stretching.
        original_positions: usize,
    },
    /// As above with a ramp over dimensions, and attention made sharper
    /// (Peng et al. 2023, YaRN).
    Yarn {
        /// By how much.
        factor: f64,
        /// Multiplies cosines and sines; without it, as the paper suggests.
        attention_factor: Option<f64>,
        /// Rotations within the original context above which nothing changes.
        beta_fast: f64,
        /// Rotations below which all is stretched.
        beta_slow: f64,
        /// `mscale` and `mscale_all_dim`, where both are given and not zero.
        magnitudes: Option<(f64, f64)>,
        /// Whether the ramp begins and ends at whole dimensions.
        truncate: bool,
        /// Positions before stretching.
        original_positions: usize,
    },
}

const POSITIVE: std::ops::RangeInclusive<f64> = f64::MIN_POSITIVE..=1e6;

/// What `config.json` says of both, and of how many positions that makes.
pub(super) fn read(config: &Object, max_positions: usize) -> Result<(Rope, usize), CheckpointError> {
    let (key, parameters) = match (config.object("rope_scaling")?, config.object("rope_parameters")?) {
        (Some(scaling), _) => ("rope_scaling", Some(scaling)),
        (None, parameters) => ("rope_parameters", parameters),
    };
    let theta = |object: &Object| object.number("rope_theta", 1.001..=1e15);
    let own_theta = parameters.as_ref().map(theta).transpose()?.flatten();
    let theta = own_theta.or(theta(config)?).unwrap_or(10_000.0);
    refuse_partial_rotation(config)?;
    let Some(parameters) = parameters else {
        return Ok((Rope { theta, scaling: RopeScaling::None }, max_positions));
    };
    refuse_partial_rotation(&parameters)?;
    for layer_type in ["full_attention", "sliding_attention"] {
        if parameters.mentions(layer_type) {
            return Err(config.fault(key, "differs by layer type, which is not supported"));
        }
    }
    let scaling = read_scaling(&parameters, config, max_positions)?;
    let max_positions = match &scaling {
        // Published files leave max_position_embeddings as it was before.
        RopeScaling::Yarn { factor, original_positions, .. } if states_original(&parameters, config) => {
            let stretched = (*factor * *original_positions as f64) as usize;
            max_positions.max(stretched.min(super::config::MAX_POSITIONS))
        }
        _ => max_positions,
    };
    Ok((Rope { theta, scaling }, max_positions))
}

fn read_scaling(parameters: &Object, config: &Object, max_positions: usize) -> Result<RopeScaling, CheckpointError> {
    let kind = match parameters.text("rope_type")? {
        Some(kind) => kind,
        None => parameters.text("type")?.unwrap_or("default"),
    };
    let factor = || parameters.require_number("factor", 1.0..=1e6);
    let original_positions = || {
        let beside = config.count(ORIGINAL_POSITIONS, 1..=super::config::MAX_POSITIONS)?;
        let within = parameters.count(ORIGINAL_POSITIONS, 1..=super::config::MAX_POSITIONS)?;
        Ok::<_, CheckpointError>(beside.or(within).unwrap_or(max_positions))
    };
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
        "llama3" => {
            let low_frequency_factor = parameters.require_number("low_freq_factor", POSITIVE)?;
            let high_frequency_factor = parameters.require_number("high_freq_factor", POSITIVE)?;
            if high_frequency_factor <= low_frequency_factor {
                return Err(parameters.fault("high_freq_factor", "must be greater than low_freq_factor"));
            }
            let original_positions = original_positions()?;
            Ok(RopeScaling::Llama3 {
                factor: factor()?,
                low_frequency_factor,
                high_frequency_factor,
                original_positions,
            })
        }
        "yarn" => {
            // transformers takes a zero for a value left out.
            let or_left_out = |key| Ok(parameters.number(key, 0.0..=1e6)?.filter(|number| *number > 0.0));
            let beta_fast = or_left_out("beta_fast")?.unwrap_or(32.0);
            let beta_slow = or_left_out("beta_slow")?.unwrap_or(1.0);
            if beta_fast < beta_slow {
                return Err(parameters.fault("beta_fast", "must not be less than beta_slow"));
            }
            Ok(RopeScaling::Yarn {
                factor: factor()?,
                attention_factor: parameters.number("attention_factor", POSITIVE)?,
                beta_fast,
                beta_slow,
                magnitudes: or_left_out("mscale")?.zip(or_left_out("mscale_all_dim")?),
                truncate: parameters.flag("truncate")?.unwrap_or(true),
                original_positions: original_positions()?,
            })
        }
        unknown => {
            let unknown: String = unknown.chars().take(64).collect();
            let problem = format!("is {unknown:?}; supported are default, linear, llama3, yarn");
            Err(parameters.fault("rope_type", problem))
        }
    }
}

const ORIGINAL_POSITIONS: &str = "original_max_position_embeddings";

fn states_original(parameters: &Object, config: &Object) -> bool {
    parameters.value(ORIGINAL_POSITIONS).or(config.value(ORIGINAL_POSITIONS)).is_some()
}

/// Refuses a rotation of only the first dimensions, which none of the families
/// was published with.
fn refuse_partial_rotation(object: &Object) -> Result<(), CheckpointError> {
    object.number("partial_rotary_factor", 1.0..=1.0).map(drop)
}

#[cfg(test)]
mod tests;
