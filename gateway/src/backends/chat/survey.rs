//! What the configured models would run on, without loading any.

pub use portcullis_inference::device::Adapter;
pub use portcullis_inference::engine::Description;

use super::model;
use crate::backends::settings::ModelSettings;

/// What would become of a model.
///
/// # Errors
///
/// Why it cannot be loaded, for the operator.
pub fn describe(settings: &ModelSettings) -> Result<Description, String> {
    portcullis_inference::engine::describe(&model::settings(settings))
}

/// Every adapter there is, software ones too.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    portcullis_inference::device::adapters()
}
