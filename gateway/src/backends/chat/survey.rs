//! What the configured models would run on, without loading any.

pub use portcullis_inference::DescribeError;
pub use portcullis_inference::engine::Description;

use super::model;
use crate::backends::settings::ModelSettings;

/// Something other than the processor to compute on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its own name.
    pub name: String,
    /// One word for the kind of hardware: `discrete`, `software`.
    pub kind: &'static str,
    /// The graphics interface it is reached through.
    pub backend: String,
}

/// What would become of a model.
///
/// # Errors
///
/// Why it cannot be loaded.
pub fn describe(settings: &ModelSettings) -> Result<Description, DescribeError> {
    portcullis_inference::describe(&model::settings(settings))
}

/// Every adapter there is, software ones too.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    let found = portcullis_inference::device::adapters();
    found.into_iter().map(|it| Adapter { name: it.name, kind: it.kind.as_str(), backend: it.backend }).collect()
}
