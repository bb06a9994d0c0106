use super::*;
use crate::checkpoint::config::tests::with;

fn rope(json: &str) -> Rope {
    with(json).unwrap().rope
}

fn refusal(json: &str) -> String {
    with(json).unwrap_err().to_string()
}

#[test]
fn theta_is_found_where_either_generation_writes_it() {
    assert_eq!(rope("{}").theta, 10_000.0);
    assert_eq!(rope(r#"{"rope_theta": 500000}"#).theta, 500_000.0);
    let newer = r#"{"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}"#;
    assert_eq!(rope(newer), Rope { theta: 1e6, scaling: RopeScaling::None });
    let both = r#"{"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 1000000.0}}"#;
    assert_eq!(rope(both).theta, 1e6);
}

#[test]
fn scaling_is_found_where_either_generation_writes_it() {
    let linear = Rope { theta: 10_000.0, scaling: RopeScaling::Linear { factor: 2.0 } };
    assert_eq!(rope(r#"{"rope_scaling": {"type": "linear", "factor": 2.0}}"#), linear);
    assert_eq!(rope(r#"{"rope_scaling": {"rope_type": "linear", "factor": 2}}"#), linear);
    assert_eq!(rope(r#"{"rope_parameters": {"rope_type": "linear", "factor": 2.0}}"#), linear);
    assert_eq!(rope(r#"{"rope_scaling": null}"#).scaling, RopeScaling::None);
}

#[test]
fn llama3_is_read() {
    let json = r#"{"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}"#;
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_positions: 8192,
    };
    assert_eq!(rope(json).scaling, expected);
    assert_eq!(with(json).unwrap().max_positions, 131_072);
}

#[test]
fn yarn_stretches_the_positions_it_states() {
    let json = r#"{"max_position_embeddings": 32768,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}"#;
    assert_eq!(with(json).unwrap().max_positions, 131_072);
    let unstated = r#"{"max_position_embeddings": 32768, "rope_scaling": {"type": "yarn", "factor": 4.0}}"#;
    let config = with(unstated).unwrap();
    assert_eq!(config.max_positions, 32_768);
    let RopeScaling::Yarn { beta_fast, beta_slow, truncate, original_positions, .. } = config.rope.scaling else {
        panic!("not yarn")
    };
    assert_eq!((beta_fast, beta_slow, truncate, original_positions), (32.0, 1.0, true, 32_768));
}

#[test]
fn kinds_that_are_not_implemented_are_refused_by_name() {
    for kind in ["dynamic", "longrope", "mrope", "su"] {
        let refused = refusal(&format!(r#"{{"rope_scaling": {{"rope_type": "{kind}", "factor": 2.0}}}}"#));
        let expected =
            format!("config.json: rope_scaling.rope_type is {kind:?}; supported are default, linear, llama3, yarn");
        assert_eq!(refused, expected);
    }
    let by_layer = r#"{"rope_parameters": {"full_attention": {"rope_theta": 10000.0}}}"#;
    assert_eq!(refusal(by_layer), "config.json: rope_parameters differs by layer type, which is not supported");
    assert!(refusal(r#"{"partial_rotary_factor": 0.5}"#).contains("partial_rotary_factor"));
}

#[test]
fn numbers_that_make_no_sense_are_refused_by_key() {
    assert_eq!(refusal(r#"{"rope_scaling": {"type": "linear"}}"#), "config.json: rope_scaling.factor is missing");
    assert!(refusal(r#"{"rope_theta": 0}"#).starts_with("config.json: rope_theta must be a number"));
    assert!(refusal(r#"{"rope_theta": "10000"}"#).starts_with("config.json: rope_theta must be a number"));
    assert!(refusal(r#"{"rope_scaling": {"type": "linear", "factor": 0.5}}"#).contains("rope_scaling.factor"));
    assert_eq!(refusal(r#"{"rope_scaling": [4.0]}"#), "config.json: rope_scaling must be an object");
    let crossed = r#"{"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}"#;
    assert!(refusal(crossed).contains("rope_scaling.high_freq_factor must be greater"));
}
