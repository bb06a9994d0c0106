use super::*;
use crate::checkpoint::config::tests::tiny;

fn names(config: &ModelConfig) -> Vec<String> {
    config.tensors().into_iter().map(|spec| spec.name).collect()
}

#[test]
fn a_plain_decoder_has_nine_tensors_a_layer() {
    let config = tiny();
    let tensors = config.tensors();
    assert_eq!(tensors.len(), 2 * 9 + 3);
    let shape = |name: &str| tensors.iter().find(|spec| spec.name == name).unwrap().shape.clone();
    assert_eq!(shape("model.embed_tokens.weight"), [32, 8]);
    assert_eq!(shape("model.layers.1.self_attn.q_proj.weight"), [8, 8]);
    assert_eq!(shape("model.layers.1.self_attn.k_proj.weight"), [4, 8]);
    assert_eq!(shape("model.layers.0.mlp.down_proj.weight"), [8, 12]);
    assert_eq!(shape("lm_head.weight"), [32, 8]);
    assert_eq!(config.parameters(), 32 * 8 * 2 + 8 + 2 * (2 * 8 + 2 * 64 + 2 * 32 + 3 * 96));
}

#[test]
fn heads_wider_than_the_hidden_size_change_the_projections() {
    let config = ModelConfig { head_dim: 16, qk_norm: true, ..tiny() };
    let tensors = config.tensors();
    let shape = |name: &str| tensors.iter().find(|spec| spec.name == name).unwrap().shape.clone();
    assert_eq!(shape("model.layers.0.self_attn.q_proj.weight"), [32, 8]);
    assert_eq!(shape("model.layers.0.self_attn.o_proj.weight"), [8, 32]);
    assert_eq!(shape("model.layers.0.self_attn.k_norm.weight"), [16]);
}

#[test]
fn biases_stand_where_the_family_has_them() {
    let biases = |config: &ModelConfig| -> Vec<String> {
        let of_first_layer = |name: &String| name.contains("layers.0.") && name.ends_with(".bias");
        names(config).into_iter().filter(of_first_layer).map(|name| name.replace("model.layers.0.", "")).collect()
    };
    assert!(biases(&tiny()).is_empty());
    assert_eq!(
        biases(&ModelConfig { qkv_bias: true, ..tiny() }),
        ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"]
    );
    assert_eq!(biases(&ModelConfig { output_bias: true, ..tiny() }), ["self_attn.o_proj.bias"]);
    assert_eq!(
        biases(&ModelConfig { mlp_bias: true, ..tiny() }),
        ["mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias"]
    );
}

#[test]
fn a_tied_projection_needs_no_tensor_and_tolerates_one() {
    let tied = ModelConfig { tied_embeddings: true, ..tiny() };
    assert!(!names(&tied).contains(&"lm_head.weight".to_owned()));
    assert!(tied.ignores("lm_head.weight"));
    assert!(!tiny().ignores("lm_head.weight"));
    assert!(tiny().ignores("model.layers.0.self_attn.rotary_emb.inv_freq"));
}

#[test]
fn a_long_list_of_faults_is_cut_and_counted() {
    let missing = (0..20).map(|number| format!("t{number}")).collect();
    let faults = TensorFaults {
        missing,
        superfluous: vec!["x".to_owned()],
        misshapen: vec![("y".to_owned(), vec![2, 3], vec![3, 2])],
    };
    let text = faults.to_string();
    assert!(text.starts_with("missing t0, t1, "), "{text}");
    assert!(text.ends_with("t15 and 4 more; superfluous x; y has shape [2, 3] instead of [3, 2]"), "{text}");
}
