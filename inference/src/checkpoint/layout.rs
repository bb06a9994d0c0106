//! Which tensors a decoder is made of, and whether the files have just these.

use std::fmt;

use super::ModelConfig;

/// One tensor as the files must have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorSpec {
    /// Its name in Hugging Face's layout: `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Its shape as stored; a projection's is `[out, in]`.
    pub shape: Vec<usize>,
}

/// All that is wrong with a checkpoint's set of tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorFaults {
    /// Expected, and in no file.
    pub missing: Vec<String>,
    /// In a file, and not expected.
    pub superfluous: Vec<String>,
    /// Of another shape: name, shape in the file, shape expected.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

/// Names listed of each kind of fault; the rest is counted.
const LISTED: usize = 16;

// === impl TensorSpec ===

impl TensorSpec {
    /// How many values it has.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|size| *size as u64).product()
    }
}

// === impl ModelConfig ===

impl ModelConfig {
    /// Every tensor of the decoder.
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut specs = Specs(Vec::new());
        let (hidden, feed_forward) = (self.hidden_size, self.intermediate_size);
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        specs.add("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, hidden]);
        for layer in 0..self.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            specs.add(name("input_layernorm.weight"), vec![hidden]);
            specs.projection(&name("self_attn.q_proj"), queries, hidden, self.qkv_bias);
            specs.projection(&name("self_attn.k_proj"), keys, hidden, self.qkv_bias);
            specs.projection(&name("self_attn.v_proj"), keys, hidden, self.qkv_bias);
            specs.projection(&name("self_attn.o_proj"), hidden, queries, self.output_bias);
            if self.qk_norm {
                specs.add(name("self_attn.q_norm.weight"), vec![self.head_dim]);
                specs.add(name("self_attn.k_norm.weight"), vec![self.head_dim]);
            }
            specs.add(name("post_attention_layernorm.weight"), vec![hidden]);
            specs.projection(&name("mlp.gate_proj"), feed_forward, hidden, self.mlp_bias);
            specs.projection(&name("mlp.up_proj"), feed_forward, hidden, self.mlp_bias);
            specs.projection(&name("mlp.down_proj"), hidden, feed_forward, self.mlp_bias);
        }
        specs.add("model.norm.weight".to_owned(), vec![hidden]);
        if !self.tied_embeddings {
            specs.add("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]);
        }
        specs.0
    }

    /// How many weights the decoder has.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(TensorSpec::elements).sum()
    }

    /// Whether published files have this tensor though the decoder needs none:
    /// a tied output projection, or frequencies that follow from `config.json`.
    pub(super) fn ignores(&self, tensor: &str) -> bool {
        tensor.ends_with("rotary_emb.inv_freq") || (self.tied_embeddings && tensor == "lm_head.weight")
    }
}

struct Specs(Vec<TensorSpec>);

impl Specs {
    fn add(&mut self, name: String, shape: Vec<usize>) {
        self.0.push(TensorSpec { name, shape });
    }

    fn projection(&mut self, name: &str, output: usize, input: usize, bias: bool) {
        self.add(format!("{name}.weight"), vec![output, input]);
        if bias {
            self.add(format!("{name}.bias"), vec![output]);
        }
    }
}

// === impl TensorFaults ===

impl TensorFaults {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.superfluous.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for TensorFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<_> = self
            .misshapen
            .iter()
            .map(|(name, found, expected)| format!("{name} has shape {found:?} instead of {expected:?}"))
            .collect();
        let parts = [("missing ", &self.missing), ("superfluous ", &self.superfluous), ("", &shapes)];
        for (number, (title, names)) in parts.into_iter().filter(|(_, names)| !names.is_empty()).enumerate() {
            let listed = names[..names.len().min(LISTED)].join(", ");
            write!(f, "{}{title}{listed}", if number == 0 { "" } else { "; " })?;
            if names.len() > LISTED {
                write!(f, " and {} more", names.len() - LISTED)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
