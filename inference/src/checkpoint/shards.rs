//! The files that a checkpoint's weights are spread over.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    CheckpointError, Files, Stored,
    header::{self, Entry},
    json,
};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes the index may have.
const MAX_INDEX_BYTES: u64 = 32 << 20;
/// Files that weights may be spread over; each stays open.
const MAX_SHARDS: usize = 512;

/// One file and what it holds.
pub(super) struct Shard {
    pub(super) stored: Stored,
    pub(super) tensors: BTreeMap<String, Entry>,
}

/// `model.safetensors.index.json`, as far as it is used.
#[derive(Deserialize)]
struct Index {
    /// Tensor to file.
    weight_map: BTreeMap<String, String>,
}

/// Opens the one file, or else all that the index names.
pub(super) fn open(files: &Files) -> Result<Vec<Shard>, CheckpointError> {
    if let Some(stored) = files.open(WHOLE)? {
        return Ok(vec![Shard { tensors: header::read(&stored)?, stored }]);
    }
    let Some(index) = files.read(INDEX, MAX_INDEX_BYTES)? else { return Err(CheckpointError::NoWeights) };
    let index: Index = json::parse(INDEX, &index)?;
    let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    if names.len() > MAX_SHARDS {
        return Err(CheckpointError::Index(format!("names more than {MAX_SHARDS} files")));
    }
    let shards = names.into_iter().map(|name| open_shard(files, name)).collect::<Result<Vec<_>, _>>()?;
    agree(&index, &shards)?;
    Ok(shards)
}

fn open_shard(files: &Files, name: &str) -> Result<Shard, CheckpointError> {
    if !is_plain(name) {
        let name: String = name.chars().take(64).collect();
        return Err(CheckpointError::Index(format!("{name:?} is not the plain name of a safetensors file")));
    }
    let stored = files.open(name)?.ok_or_else(|| CheckpointError::Missing { file: name.to_owned() })?;
    Ok(Shard { tensors: header::read(&stored)?, stored })
}

/// Whether a name leads nowhere but into the directory.
fn is_plain(name: &str) -> bool {
    let harmless = |character: char| character.is_ascii_alphanumeric() || "-_.+".contains(character);
    name.len() <= 255 && !name.starts_with('.') && name.ends_with(".safetensors") && name.chars().all(harmless)
}

/// The index and the files' own tables must say the same, both ways.
fn agree(index: &Index, shards: &[Shard]) -> Result<(), CheckpointError> {
    let by_name: BTreeMap<&str, &Shard> = shards.iter().map(|shard| (shard.stored.name(), shard)).collect();
    for (tensor, file) in &index.weight_map {
        if by_name.get(file.as_str()).is_none_or(|shard| !shard.tensors.contains_key(tensor)) {
            let tensor: String = tensor.chars().take(256).collect();
            return Err(CheckpointError::Index(format!("{file} does not contain {tensor:?}")));
        }
    }
    for shard in shards {
        let file = shard.stored.name();
        for tensor in shard.tensors.keys() {
            match index.weight_map.get(tensor) {
                Some(named) if named == file => {}
                Some(other) => {
                    return Err(CheckpointError::Index(format!("{tensor} is in {other} and in {file} too")));
                }
                None => return Err(CheckpointError::Index(format!("{tensor} of {file} is not listed"))),
            }
        }
    }
    Ok(())
}
