//! Why a checkpoint is refused.

use std::io;

use super::{
    family::Family,
    header::{Dtype, HeaderFault},
    layout::TensorFaults,
};

/// Why a checkpoint is refused; for the operator, who chose it.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The place itself is not a checkpoint directory.
    #[error("{path} is not a directory that holds a checkpoint")]
    NotADirectory {
        /// As configured.
        path: String,
    },
    /// A file that every checkpoint has is not there.
    #[error("{file} is missing from the checkpoint")]
    Missing {
        /// Its name.
        file: String,
    },
    /// There are no weights in a form that is read.
    #[error("the checkpoint has neither model.safetensors nor model.safetensors.index.json")]
    NoWeights,
    /// A directory, a pipe or a device where a file belongs.
    #[error("{file} is not a regular file")]
    NotRegular {
        /// Its name.
        file: String,
    },
    /// Larger than such a file has reason to be.
    #[error("{file} has more than {limit} bytes")]
    TooLarge {
        /// Its name.
        file: String,
        /// Bytes it may have.
        limit: u64,
    },
    /// The file system refuses, or the file ended before what its header
    /// promised.
    #[error("{file} cannot be read")]
    Read {
        /// Its name.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Not JSON, or not of the expected form.
    #[error("{file} is malformed")]
    Json {
        /// Its name.
        file: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A value that the decoder cannot be built from.
    #[error("{file}: {key} {problem}")]
    Key {
        /// The file's name.
        file: String,
        /// Where in it: `rope_scaling.factor`.
        key: String,
        /// What is wrong, as the rest of a sentence that begins with the key.
        problem: String,
    },
    /// `model_type` is none of those that are known.
    #[error("config.json: model_type {family:?} is not supported; supported are {}", Family::known())]
    UnknownFamily {
        /// As written.
        family: String,
    },
    /// The table of tensors at the beginning of a file contradicts itself or
    /// the file.
    #[error("{file}: {fault}")]
    Header {
        /// The file's name.
        file: String,
        /// What is wrong.
        fault: HeaderFault,
    },
    /// `model.safetensors.index.json` contradicts the files that it lists.
    #[error("model.safetensors.index.json: {0}")]
    Index(String),
    /// Tensors are missing, superfluous or of another shape.
    #[error("the weights are not those that config.json describes: {0}")]
    Weights(TensorFaults),
    /// A tensor that the files do not have.
    #[error("the checkpoint has no tensor {tensor}")]
    NoTensor {
        /// Its name.
        tensor: String,
    },
    /// A weight is not a number, or infinite.
    #[error("{file}: tensor {tensor} contains NaN or infinite values")]
    NotFinite {
        /// The file's name.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor that does not fit into the host's memory.
    #[error("tensor {tensor} ({elements} elements of {dtype}) does not fit into memory")]
    Memory {
        /// The tensor's name.
        tensor: String,
        /// How many values it has.
        elements: u64,
        /// As what they are stored.
        dtype: Dtype,
    },
}
