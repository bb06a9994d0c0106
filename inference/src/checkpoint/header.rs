//! The table at the beginning of a safetensors file.
//!
//! Eight bytes of length, a JSON object that gives each tensor's element type,
//! shape and place, then the tensors without gap or overlap
//! (<https://github.com/huggingface/safetensors#format>). Nothing is allocated
//! on the word of a length before the file was found to be that long.

mod written;

use std::{collections::BTreeMap, fmt};

use self::written::Table;
use super::{CheckpointError, Stored};

/// Bytes a header may have; the reference implementation's bound.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes before the header: its length.
const PREFIX_BYTES: u64 = 8;

/// How a tensor's elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of [`Dtype::F32`].
    BF16,
}

/// What is wrong with the table of tensors.
#[derive(Debug, thiserror::Error)]
pub enum HeaderFault {
    /// Not even room for the header's length.
    #[error("is too short to be a safetensors file")]
    TooShort,
    /// The header ends after the file, or is larger than any may be.
    #[error("its header claims {claimed} bytes where {available} are possible")]
    Length {
        /// As the file's first bytes say.
        claimed: u64,
        /// As would fit.
        available: u64,
    },
    /// Not JSON, or not of the expected form.
    #[error("its header is malformed: {0}")]
    Json(serde_json::Error),
    /// Elements of a type that is not read.
    #[error("tensor {tensor} is of type {dtype:?}; supported are F32, F16 and BF16")]
    Dtype {
        /// The tensor's name.
        tensor: String,
        /// As written.
        dtype: String,
    },
    /// The place does not have the size of the tensor.
    #[error("tensor {tensor} of type {dtype} and shape {shape:?} cannot stand at bytes {start} to {end}")]
    Size {
        /// The tensor's name.
        tensor: String,
        /// The type of its elements.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
        /// Where it begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// The file is cut off, or the table wrong.
    #[error("tensor {tensor} ends at byte {end} of {available}: the file is cut off")]
    Beyond {
        /// The tensor's name.
        tensor: String,
        /// Where it ends.
        end: u64,
        /// How many bytes of tensors the file has.
        available: u64,
    },
    /// It begins before another ends.
    #[error("tensor {tensor} overlaps another")]
    Overlap {
        /// The tensor's name.
        tensor: String,
    },
    /// Bytes that belong to no tensor.
    #[error("{bytes} bytes before {before} belong to no tensor")]
    Gap {
        /// How many.
        bytes: u64,
        /// What follows.
        before: String,
    },
}

/// One tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// How many elements it has.
    pub(super) elements: u64,
}

/// Reads a file's table.
pub(super) fn read(stored: &Stored) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let fault = |fault| CheckpointError::Header { file: stored.name().to_owned(), fault };
    let Some(after_prefix) = stored.length().checked_sub(PREFIX_BYTES) else {
        return Err(fault(HeaderFault::TooShort));
    };
    let mut prefix = [0; PREFIX_BYTES as usize];
    stored.read_at(0, &mut prefix)?;
    let (claimed, available) = (u64::from_le_bytes(prefix), after_prefix.min(MAX_HEADER_BYTES));
    let too_long = || fault(HeaderFault::Length { claimed, available });
    if claimed > available {
        return Err(too_long());
    }
    let mut json = vec![0; usize::try_from(claimed).map_err(|_| too_long())?];
    stored.read_at(PREFIX_BYTES, &mut json)?;
    parse(&json, PREFIX_BYTES + claimed, after_prefix - claimed).map_err(fault)
}

/// Parses a table whose tensors begin at `base` of the file and have so many
/// bytes in all.
fn parse(json: &[u8], base: u64, available: u64) -> Result<BTreeMap<String, Entry>, HeaderFault> {
    let Table(written) = serde_json::from_slice(json).map_err(HeaderFault::Json)?;
    let mut in_order: Vec<_> = written.iter().collect();
    in_order.sort_by_key(|(_, written)| written.data_offsets);

    let mut table = BTreeMap::new();
    let mut taken = 0;
    for (name, written) in in_order {
        let tensor = || name.clone();
        let (start, end) = written.data_offsets;
        let dtype = Dtype::named(&written.dtype)
            .ok_or_else(|| HeaderFault::Dtype { tensor: tensor(), dtype: written.dtype.chars().take(16).collect() })?;
        let shape = written.shape.0.clone();
        let elements = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size as u64));
        let bytes = elements.and_then(|elements| elements.checked_mul(dtype.bytes()));
        let (Some(elements), true) = (elements, bytes.is_some() && bytes == end.checked_sub(start)) else {
            return Err(HeaderFault::Size { tensor: tensor(), dtype, shape, start, end });
        };
        if end > available {
            return Err(HeaderFault::Beyond { tensor: tensor(), end, available });
        }
        if start < taken {
            return Err(HeaderFault::Overlap { tensor: tensor() });
        }
        if start > taken {
            return Err(HeaderFault::Gap { bytes: start - taken, before: format!("tensor {name}") });
        }
        taken = end;
        table.insert(tensor(), Entry { dtype, shape, offset: base + start, elements });
    }
    if taken < available {
        return Err(HeaderFault::Gap { bytes: available - taken, before: "its end".to_owned() });
    }
    Ok(table)
}

// === impl Dtype ===

impl Dtype {
    /// How many bytes an element takes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::BF16),
            _ => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
