//! Checkpoints made by hand, for tests.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use super::{Files, ModelConfig};

/// A tensor for a file: name, type, shape, little-endian elements.
pub(crate) type Sample<'a> = (&'a str, &'a str, Vec<usize>, Vec<u8>);

/// A safetensors file of these tensors, one after the other.
pub(crate) fn safetensors(tensors: &[Sample]) -> Vec<u8> {
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let (start, end) = (data.len(), data.len() + bytes.len());
        header.insert((*name).to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
        data.extend_from_slice(bytes);
    }
    with_header(&Value::from(header).to_string(), &data)
}

/// A safetensors file with this header and these bytes after it.
pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Elements of type F32.
pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// All tensors of a decoder, each filled with one number.
pub(crate) fn weights(config: &ModelConfig) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let filled = |elements: u64, number: usize| f32s(&vec![number as f32; elements as usize]);
    let specs = config.tensors().into_iter().enumerate();
    specs.map(|(number, spec)| (spec.name.clone(), spec.shape.clone(), filled(spec.elements(), number))).collect()
}

/// The files of a directory in which `contents` is the one file of weights.
pub(crate) fn directory(path: &Path, contents: &[u8]) -> Files {
    fs::write(path.join("model.safetensors"), contents).unwrap();
    Files::directory(path).unwrap()
}
