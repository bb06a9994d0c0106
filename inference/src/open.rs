//! From settings to an engine at work.

use std::sync::Arc;

use crate::checkpoint::{Files, Generation, ModelConfig};
use crate::engine::load::{Loaded, Progress};
use crate::engine::observer::Observer;
use crate::engine::{Description, Engine};
use crate::language::CheckpointLanguage;
use crate::load::{LoadError, load, plan};
use crate::settings::{ModelSettings, Source};

impl Engine {
    /// Starts to load a model in the background, and returns at once.
    #[must_use]
    pub fn open(settings: ModelSettings, observer: Arc<dyn Observer>) -> Self {
        let again = settings.clone();
        Self::start(&again, move |progress: Progress<'_>| open(&settings, progress).map_err(describe_error), observer)
    }
}

/// Why a model cannot be loaded; both are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// Its checkpoint is not what it should be.
    #[error("{0}")]
    Checkpoint(String),
    /// This machine has not the device, or not the memory.
    #[error("{0}")]
    Machine(String),
}

/// What [`Engine::open`] would make of these settings. Reads the checkpoint's
/// configuration and the headers of its weights and looks for the device;
/// loads nothing.
///
/// # Errors
///
/// Why it cannot be loaded.
pub fn describe(settings: &ModelSettings) -> Result<Description, DescribeError> {
    let planned = || -> Result<Description, Failure> {
        let Opened { files, config, settings, .. } = Opened::read(settings)?;
        Ok(plan(&files, &config, &settings)?.description)
    };
    planned().map_err(|error| match error.downcast_ref::<LoadError>() {
        Some(LoadError::Device(_) | LoadError::DoesNotFit(_)) => DescribeError::Machine(describe_error(error)),
        Some(LoadError::Checkpoint(_) | LoadError::BrokenOff) | None => {
            DescribeError::Checkpoint(describe_error(error))
        }
    })
}

type Failure = Box<dyn std::error::Error>;

/// A checkpoint without its weights: cheap, and worth knowing before they are
/// read.
struct Opened {
    files: Files,
    config: ModelConfig,
    /// With no more context than the model was made for.
    settings: ModelSettings,
    language: CheckpointLanguage,
}

impl Opened {
    fn read(settings: &ModelSettings) -> Result<Self, Failure> {
        let files = files(settings)?;
        let config = ModelConfig::read(&files)?;
        let context_length = settings.context_length.min(config.max_positions);
        let settings = ModelSettings { context_length, ..settings.clone() };
        let generation = Generation::read(&files, &config)?;
        let language = CheckpointLanguage::read(&files, &generation, config.vocab_size)?;
        Ok(Self { files, config, settings, language })
    }
}

fn open(settings: &ModelSettings, progress: Progress<'_>) -> Result<Loaded, Failure> {
    let Opened { files, config, settings, language } = Opened::read(settings)?;
    let (mut decoder, description) = load(&files, &config, &settings, progress)?;
    decoder.warm_up();
    Ok(Loaded { forward: Box::new(decoder), language: Arc::new(language), description })
}

fn files(settings: &ModelSettings) -> Result<Files, Failure> {
    match &settings.source {
        Source::BuiltIn => Ok(crate::builtin::files()),
        Source::Directory(path) => Ok(Files::directory(path)?),
    }
}

/// An error and what caused it, in one line.
#[expect(clippy::needless_pass_by_value, reason = "it ends here")]
fn describe_error(error: Failure) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
