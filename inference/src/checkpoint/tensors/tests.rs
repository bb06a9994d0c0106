use std::{fs, path::Path};

use serde_json::json;

use super::*;
use crate::checkpoint::{
    config::tests::tiny,
    sample::{Sample, directory, f32s, safetensors, weights},
};

fn open(tensors: &[Sample]) -> Tensors {
    let place = tempfile::tempdir().unwrap();
    Tensors::open(&directory(place.path(), &safetensors(tensors))).unwrap()
}

fn write_whole(path: &Path, tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Files {
    directory(path, &safetensors(&borrowed(tensors)))
}

fn borrowed(tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<Sample<'_>> {
    tensors.iter().map(|(name, shape, bytes)| (name.as_str(), "F32", shape.clone(), bytes.clone())).collect()
}

/// Two shards and their index, changed by `tamper`.
fn sharded(path: &Path, tamper: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> Files {
    let all = weights(&tiny());
    let (one, two) = all.split_at(5);
    let mut map = serde_json::Map::new();
    for (file, part) in [("model-00001-of-00002.safetensors", one), ("model-00002-of-00002.safetensors", two)] {
        fs::write(path.join(file), safetensors(&borrowed(part))).unwrap();
        map.extend(part.iter().map(|(name, ..)| (name.clone(), json!(file))));
    }
    tamper(&mut map);
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(path.join("model.safetensors.index.json"), index.to_string()).unwrap();
    Files::directory(path).unwrap()
}

#[test]
fn all_three_types_are_read_as_f32() {
    let values = [0.0, -1.5, 65_504.0, 6.103_515_6e-5, -2.0_f32.powi(-24)];
    let halves: Vec<u8> = values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect();
    let brains: Vec<u8> = values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect();
    let tensors = open(&[
        ("f32", "F32", vec![5], f32s(&values)),
        ("f16", "F16", vec![5], halves),
        ("bf16", "BF16", vec![5], brains),
    ]);
    assert_eq!(tensors.read_f32("f32").unwrap(), values);
    assert_eq!(tensors.read_f32("f16").unwrap(), values);
    let expected: Vec<f32> = values.iter().map(|value| half::bf16::from_f32(*value).to_f32()).collect();
    assert_eq!(tensors.read_f32("bf16").unwrap(), expected);
    assert_eq!(tensors.total_bytes(), 20 + 10 + 10);
    assert_eq!((tensors.stored_bytes("f16"), tensors.dtype("f16")), (10, Some(Dtype::F16)));
}

#[test]
fn tensors_of_many_chunks_are_read_whole() {
    let count = CHUNK_BYTES / 4 * 2 + 3;
    let values: Vec<f32> = (0..count).map(|index| index as f32).collect();
    let tensors = open(&[("before", "F32", vec![1], f32s(&[0.5])), ("long", "F32", vec![count], f32s(&values))]);
    assert_eq!(tensors.read_f32("long").unwrap(), values);
}

#[test]
fn a_tensor_without_elements_is_empty() {
    let tensors = open(&[("none", "F16", vec![0, 3], vec![])]);
    assert_eq!(tensors.read_f32("none").unwrap(), [0.0; 0]);
}

#[test]
fn values_that_are_no_numbers_are_refused_by_tensor() {
    let nan = half::f16::NAN.to_le_bytes().to_vec();
    let infinite = half::bf16::INFINITY.to_le_bytes().to_vec();
    let tensors = open(&[
        ("model.norm.weight", "F32", vec![2], f32s(&[1.0, f32::NAN])),
        ("f16", "F16", vec![1], nan),
        ("bf16", "BF16", vec![1], infinite),
    ]);
    let refused = tensors.read_f32("model.norm.weight").unwrap_err().to_string();
    assert_eq!(refused, "model.safetensors: tensor model.norm.weight contains NaN or infinite values");
    assert!(matches!(tensors.read_f32("f16"), Err(CheckpointError::NotFinite { .. })));
    assert!(matches!(tensors.read_f32("bf16"), Err(CheckpointError::NotFinite { .. })));
}

#[test]
fn a_file_cut_off_while_it_is_open_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let contents = safetensors(&[("a", "F32", vec![4], f32s(&[1.0; 4]))]);
    let tensors = Tensors::open(&directory(place.path(), &contents)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(place.path().join("model.safetensors")).unwrap();
    file.set_len(contents.len() as u64 - 1).unwrap();

    assert_eq!(tensors.read_f32("a").unwrap_err().to_string(), "model.safetensors cannot be read");
    assert_eq!(tensors.read_f32("b").unwrap_err().to_string(), "the checkpoint has no tensor b");
}

#[test]
fn a_complete_checkpoint_passes_whole_and_sharded() {
    let place = tempfile::tempdir().unwrap();
    let whole = Tensors::open(&write_whole(place.path(), &weights(&tiny()))).unwrap();
    whole.check(&tiny()).unwrap();

    let place = tempfile::tempdir().unwrap();
    let shards = Tensors::open(&sharded(place.path(), |_| {})).unwrap();
    shards.check(&tiny()).unwrap();
    for spec in tiny().tensors() {
        assert_eq!(shards.read_f32(&spec.name).unwrap(), whole.read_f32(&spec.name).unwrap());
    }
    assert_eq!(shards.total_bytes(), 4 * tiny().parameters());
}

#[test]
fn everything_wrong_with_the_tensors_is_told_at_once() {
    let place = tempfile::tempdir().unwrap();
    let mut tensors = weights(&tiny());
    tensors.retain(|(name, ..)| name != "model.norm.weight" && name != "model.layers.1.mlp.up_proj.weight");
    tensors.push(("model.layers.2.mlp.up_proj.weight".to_owned(), vec![1], f32s(&[1.0])));
    tensors.push(("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), vec![1], f32s(&[1.0])));
    tensors[0].1 = vec![8, 32];
    let refused = Tensors::open(&write_whole(place.path(), &tensors)).unwrap().check(&tiny()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the weights are not those that config.json describes: \
         missing model.layers.1.mlp.up_proj.weight, model.norm.weight; \
         superfluous model.layers.2.mlp.up_proj.weight; \
         model.embed_tokens.weight has shape [8, 32] instead of [32, 8]"
    );
}

#[test]
fn a_tied_decoder_tolerates_its_own_copy_of_the_projection() {
    let place = tempfile::tempdir().unwrap();
    let tensors = Tensors::open(&write_whole(place.path(), &weights(&tiny()))).unwrap();
    tensors.check(&ModelConfig { tied_embeddings: true, ..tiny() }).unwrap();
}

#[test]
fn a_missing_shard_is_named() {
    let place = tempfile::tempdir().unwrap();
    let files = sharded(place.path(), |_| {});
    fs::remove_file(place.path().join("model-00002-of-00002.safetensors")).unwrap();
    let refused = Tensors::open(&files).unwrap_err().to_string();
    assert_eq!(refused, "model-00002-of-00002.safetensors is missing from the checkpoint");
}

#[test]
fn an_index_that_leads_out_of_the_directory_is_refused() {
    for name in ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".safetensors", "config.json", ""] {
        let place = tempfile::tempdir().unwrap();
        let files = sharded(place.path(), |map| {
            map.insert("x".to_owned(), json!(name));
        });
        let refused = Tensors::open(&files).unwrap_err().to_string();
        assert!(refused.contains("is not the plain name of a safetensors file"), "{name}: {refused}");
    }
}

#[test]
fn an_index_that_disagrees_with_its_files_is_refused() {
    let refusal = |tamper: fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let place = tempfile::tempdir().unwrap();
        Tensors::open(&sharded(place.path(), tamper)).unwrap_err().to_string()
    };
    const INDEX: &str = "model.safetensors.index.json";
    let unknown = refusal(|map| {
        map.insert("x".to_owned(), json!("model-00001-of-00002.safetensors"));
    });
    assert_eq!(unknown, format!("{INDEX}: model-00001-of-00002.safetensors does not contain \"x\""));
    let unlisted = refusal(|map| {
        map.remove("model.norm.weight");
    });
    assert_eq!(unlisted, format!("{INDEX}: model.norm.weight of model-00002-of-00002.safetensors is not listed"));
    let elsewhere = refusal(|map| {
        map.insert("model.norm.weight".to_owned(), json!("model-00001-of-00002.safetensors"));
    });
    let expected = "model-00001-of-00002.safetensors does not contain \"model.norm.weight\"";
    assert_eq!(elsewhere, format!("{INDEX}: {expected}"));
}

#[test]
fn a_directory_without_weights_says_what_is_looked_for() {
    let place = tempfile::tempdir().unwrap();
    let refused = Tensors::open(&Files::directory(place.path()).unwrap()).unwrap_err().to_string();
    assert_eq!(refused, "the checkpoint has neither model.safetensors nor model.safetensors.index.json");
    let refused = Files::directory(&place.path().join("elsewhere")).unwrap_err().to_string();
    assert!(refused.ends_with("elsewhere is not a directory that holds a checkpoint"), "{refused}");
}
