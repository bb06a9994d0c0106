//! The weights: opened and checked at once, read tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::{
    CheckpointError, Files, ModelConfig, Stored, TensorFaults,
    header::{Dtype, Entry},
    shards::{self, Shard},
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// All tensors of a checkpoint. Their tables have been read, themselves not.
#[derive(Debug)]
pub struct Tensors {
    files: Vec<Stored>,
    /// By name: in which of the files, and where.
    entries: BTreeMap<String, (usize, Entry)>,
}

// === impl Tensors ===

impl Tensors {
    /// Opens `model.safetensors`, or the files that
    /// `model.safetensors.index.json` names, and reads their tables.
    ///
    /// # Errors
    ///
    /// If a file is missing or its table contradicts itself, the file or the
    /// index.
    pub fn open(files: &Files) -> Result<Self, CheckpointError> {
        let mut tensors = Self { files: Vec::new(), entries: BTreeMap::new() };
        for (number, Shard { stored, tensors: table }) in shards::open(files)?.into_iter().enumerate() {
            tensors.entries.extend(table.into_iter().map(|(name, entry)| (name, (number, entry))));
            tensors.files.push(stored);
        }
        Ok(tensors)
    }

    /// Checks that these are the tensors of this decoder.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Weights`] with all that are missing, superfluous or
    /// of another shape.
    pub fn check(&self, config: &ModelConfig) -> Result<(), CheckpointError> {
        let specs = config.tensors();
        let mut faults = TensorFaults::default();
        for spec in &specs {
            match self.entries.get(&spec.name) {
                None => faults.missing.push(spec.name.clone()),
                Some((_, entry)) if entry.shape != spec.shape => {
                    faults.misshapen.push((spec.name.clone(), entry.shape.clone(), spec.shape.clone()));
                }
                Some(_) => {}
            }
        }
        let expected: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let superfluous = |name: &&String| !expected.contains(name.as_str()) && !config.ignores(name);
        faults.superfluous = self.entries.keys().filter(superfluous).cloned().collect();
        if faults.is_empty() { Ok(()) } else { Err(CheckpointError::Weights(faults)) }
    }

    /// How many bytes all tensors take in the files.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.entries.values().map(|(_, entry)| entry.elements * entry.dtype.bytes()).sum()
    }

    /// How many bytes a tensor takes in its file; 0 if there is none of this
    /// name.
    #[must_use]
    pub fn stored_bytes(&self, name: &str) -> u64 {
        self.entries.get(name).map_or(0, |(_, entry)| entry.elements * entry.dtype.bytes())
    }

    /// How many elements a tensor has; 0 if there is none of this name.
    #[must_use]
    pub fn elements(&self, name: &str) -> usize {
        self.entries.get(name).map_or(0, |(_, entry)| usize::try_from(entry.elements).unwrap_or(0))
    }

    /// How a tensor's elements are stored.
    #[must_use]
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.entries.get(name).map(|(_, entry)| entry.dtype)
    }

    /// A tensor's values, in row-major order.
    ///
    /// # Errors
    ///
    /// If there is no such tensor, it cannot be read, or one of its values is
    /// not a finite number.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let missing = || CheckpointError::NoTensor { tensor: name.to_owned() };
        let (file, entry) = self.entries.get(name).ok_or_else(missing)?;
        let stored = self.files.get(*file).ok_or_else(missing)?;
        let too_large =
            || CheckpointError::Memory { tensor: name.to_owned(), elements: entry.elements, dtype: entry.dtype };
        let elements = usize::try_from(entry.elements).map_err(|_| too_large())?;
        let mut values: Vec<f32> = Vec::new();
        values.try_reserve_exact(elements).map_err(|_| too_large())?;

        let element_bytes = entry.dtype.bytes() as usize;
        let mut buffer = vec![0; CHUNK_BYTES.min(elements * element_bytes)];
        let mut offset = entry.offset;
        while values.len() < elements {
            let count = (elements - values.len()).min(CHUNK_BYTES / element_bytes);
            let bytes = &mut buffer[..count * element_bytes];
            stored.read_at(offset, bytes)?;
            offset += bytes.len() as u64;
            let before = values.len();
            append(&mut values, bytes, entry.dtype);
            if !values[before..].iter().all(|value| value.is_finite()) {
                return Err(CheckpointError::NotFinite { file: stored.name().to_owned(), tensor: name.to_owned() });
            }
        }
        Ok(values)
    }
}

/// Appends little-endian elements as f32.
fn append(values: &mut Vec<f32>, bytes: &[u8], dtype: Dtype) {
    match dtype {
        Dtype::F32 => values.extend(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four))),
        Dtype::BF16 => {
            let widen = |two: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*two)) << 16);
            values.extend(bytes.as_chunks().0.iter().map(widen));
        }
        Dtype::F16 => {
            let halves: Vec<u16> = bytes.as_chunks().0.iter().map(|two| u16::from_le_bytes(*two)).collect();
            let before = values.len();
            values.resize(before + halves.len(), 0.0);
            halves.reinterpret_cast::<half::f16>().convert_to_f32_slice(&mut values[before..]);
        }
    }
}

#[cfg(test)]
mod tests;
