//! How much memory a model takes, and whether it is there.

mod available;

use burn::tensor::DType;

use super::LoadError;
use super::weights::fills_blocks;
use crate::checkpoint::{Dtype, ModelConfig, Tensors};
use crate::device::Placement;
use crate::engine::forward::MOST_TOKENS;
use crate::settings::{ModelSettings, Quantization};

/// What the program, tokenizer and queues take besides.
const PROGRAM_BYTES: u64 = 64 << 20;

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) weight_bytes: u64,
    pub(super) cache_bytes: u64,
    /// While it is loaded and computes, besides.
    working_bytes: u64,
    /// The largest that is in one piece.
    largest_bytes: u64,
}

/// In how many bits weights are kept.
struct Widths<'a> {
    tensors: &'a Tensors,
    quantization: Quantization,
    dtype: DType,
    host: bool,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(
        config: &ModelConfig,
        settings: &ModelSettings,
        tensors: &Tensors,
        placement: &Placement,
        dtype: DType,
    ) -> Self {
        let size = dtype.size() as u64;
        let widths = Widths { tensors, quantization: settings.quantization, dtype, host: placement.host };
        let specs = config.tensors();
        let parts = specs.iter().map(|spec| spec.elements() * widths.half_bits(&spec.name, &spec.shape) / 16);
        let weight_bytes = parts.clone().sum();
        let (slots, length) = (settings.max_concurrent as u64, settings.context_length as u64);
        let layer_cache = slots * length * (config.kv_heads * config.head_dim) as u64 * size;
        // A part is read as single precision, and on its way to a device laid
        // out anew; parts that are computed at once are read at once.
        let (hidden, inner) = (config.hidden_size as u64, config.intermediate_size as u64);
        let vocabulary = config.vocab_size as u64;
        let read = (vocabulary * hidden).max(2 * inner * hidden) * 4 * if placement.host { 1 } else { 3 };
        let group = (config.heads / config.kv_heads) as u64;
        let rows = MOST_TOKENS as u64;
        let activations = rows * (2 * inner + 4 * hidden) * 4 + slots * vocabulary * 8 + group * rows * length * 4;
        Self {
            weight_bytes,
            cache_bytes: 2 * config.layers as u64 * layer_cache,
            working_bytes: read + activations + PROGRAM_BYTES,
            // A device has parts that are computed at once in one piece, and whole
            // before it quantises them.
            largest_bytes: layer_cache.max(if placement.host {
                parts.max().unwrap_or(0)
            } else {
                (vocabulary * hidden).max(2 * inner * hidden) * size
            }),
        }
    }

    /// Refuses what cannot fit, with the arithmetic.
    pub(super) fn check(&self, placement: &Placement) -> Result<(), LoadError> {
        if let Some(allowed) = placement.largest_buffer.filter(|allowed| *allowed < self.largest_bytes) {
            return Err(LoadError::DoesNotFit(format!(
                "its largest part takes {}, and {} allows {} in one buffer; \
                 quantize, or a smaller contextLength or maxConcurrent, makes it smaller",
                mebibytes(self.largest_bytes),
                placement.name,
                mebibytes(allowed),
            )));
        }
        let Some(available) = placement.shares_memory.then(available::bytes).flatten() else { return Ok(()) };
        let wanted = self.weight_bytes + self.cache_bytes + self.working_bytes;
        if wanted <= available {
            return Ok(());
        }
        Err(LoadError::DoesNotFit(format!(
            "{} of weights, {} of cache and {} to work with are {}, and {} are available; \
             quantize, or a smaller contextLength or maxConcurrent, makes it smaller",
            mebibytes(self.weight_bytes),
            mebibytes(self.cache_bytes),
            mebibytes(self.working_bytes),
            mebibytes(wanted),
            mebibytes(available),
        )))
    }
}

// === impl Widths ===

impl Widths<'_> {
    /// Halves of bits of one weight, with its share of a block's scale: one of
    /// 16 bits for 32 weights on the CPU, of 32 bits on a device.
    fn half_bits(&self, name: &str, shape: &[usize]) -> u64 {
        let plain = self.dtype.size() as u64 * 16;
        let inputs = shape.get(1);
        // A table of embeddings is looked up in: a device keeps it as it is.
        let on_device = |inputs: usize| !name.contains("embed_tokens") && fills_blocks(inputs);
        let quantised = inputs.is_some_and(|inputs| self.host || on_device(*inputs));
        let scale = if self.host { 1 } else { 2 };
        match self.quantization {
            Quantization::Q8 if quantised => 16 + scale,
            Quantization::Q4 if quantised => 8 + scale,
            _ if inputs.is_some() && self.host && self.tensors.dtype(name) == Some(Dtype::BF16) => 32,
            _ => plain,
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::device;
    use crate::settings::DeviceChoice;

    fn budget(weight_bytes: u64, largest_bytes: u64) -> Budget {
        Budget { weight_bytes, cache_bytes: 2 << 20, working_bytes: 3 << 20, largest_bytes }
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_arithmetic() {
        let placement = device::choose(&DeviceChoice::Cpu).expect("there is a CPU");
        assert!(budget(1 << 20, 0).check(&placement).is_ok());
        let refusal = budget(1 << 60, 0).check(&placement).expect_err("nobody has an exbibyte").to_string();
        for part in ["1099511627776 MiB of weights", "2 MiB of cache", "3 MiB to work with", "1099511627781 MiB, and"] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    #[test]
    fn a_part_that_no_buffer_holds_is_refused() {
        let mut placement = device::choose(&DeviceChoice::Cpu).expect("there is a CPU");
        placement.largest_buffer = Some(128 << 20);
        assert!(budget(1 << 20, 128 << 20).check(&placement).is_ok());
        let refusal = budget(1 << 20, 129 << 20).check(&placement).expect_err("too large").to_string();
        assert!(refusal.contains("takes 129 MiB") && refusal.contains("allows 128 MiB"), "{refusal}");
    }
}
