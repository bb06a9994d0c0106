//! How much memory a model takes, and whether it is there.

use burn::tensor::DType;

use super::LoadError;
use crate::checkpoint::ModelConfig;
use crate::device::Placement;
use crate::settings::{ModelSettings, Quantization};

/// Memory besides weights and cache: activations, the tables of positions, the
/// part that is being read. Measured on models of 0.1 to 1 billion weights.
const WORKING_BYTES: u64 = 256 << 20;

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) weight_bytes: u64,
    pub(super) cache_bytes: u64,
}

impl Budget {
    pub(super) fn new(config: &ModelConfig, settings: &ModelSettings, dtype: DType) -> Self {
        let size = dtype.size() as u64;
        let parameters = config.parameters();
        let embedding = (config.vocab_size * config.hidden_size) as u64;
        // The output projection of a tied model is the embedding itself, unless
        // it is quantised.
        let quantised = parameters - if config.tied_embeddings { 0 } else { embedding };
        let weight_bytes = match settings.quantization {
            Quantization::None => parameters * size,
            // A block of 32 weights has one scale.
            Quantization::Q8 => quantised * 9 / 8 + embedding * size,
            Quantization::Q4 => quantised * 5 / 8 + embedding * size,
        };
        let positions = (settings.max_concurrent * settings.context_length) as u64;
        let per_position = (2 * config.layers * config.kv_heads * config.head_dim) as u64 * size;
        Self { weight_bytes, cache_bytes: positions * per_position }
    }

    /// Refuses what cannot fit, with the arithmetic.
    pub(super) fn check(&self, placement: &Placement) -> Result<(), LoadError> {
        let Some(available) = available(placement) else { return Ok(()) };
        let wanted = self.weight_bytes + self.cache_bytes + WORKING_BYTES;
        if wanted <= available {
            return Ok(());
        }
        Err(LoadError::DoesNotFit(format!(
            "{} of weights, {} of cache and {} to work with are {}, and {} has {} available; \
             a smaller contextLength or maxConcurrent, or quantize, makes it smaller",
            mebibytes(self.weight_bytes),
            mebibytes(self.cache_bytes),
            mebibytes(WORKING_BYTES),
            mebibytes(wanted),
            placement.name,
            mebibytes(available),
        )))
    }
}

/// The memory that may still be taken. Nobody says it of an adapter.
fn available(placement: &Placement) -> Option<u64> {
    if !placement.host {
        return None;
    }
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|info| {
        let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    match (free, control_group()) {
        (Some(free), Some(left)) => Some(free.min(left)),
        (free, left) => free.or(left),
    }
}

/// What a container's limit leaves (control groups, version 2).
fn control_group() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let limit = read("memory.max")?.trim().parse::<u64>().ok()?;
    let used = read("memory.current")?.trim().parse::<u64>().ok()?;
    Some(limit.saturating_sub(used))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
