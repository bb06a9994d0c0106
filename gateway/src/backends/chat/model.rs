//! The model behind the tool, as far as the tool knows it.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use portcullis_inference::chat::{ChatEvent, ChatRequest};
use portcullis_inference::engine::{ChatError, Engine, State};
use portcullis_inference::settings as inference;
use tokio::sync::watch;

use crate::backends::settings::{ModelDevice, ModelSettings, ModelSource, Quantization};

/// How long a model may take to end.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// The pieces of one answer as they are made. Dropped, no more are made.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<ChatEvent, ChatError>> + Send>>;

/// Something that answers conversations.
pub(super) trait Model: Send + Sync + fmt::Debug {
    /// Takes a conversation up, or refuses at once.
    fn submit(&self, request: ChatRequest) -> Result<Pieces, ChatError>;

    /// How far it is, and each change of it.
    fn states(&self) -> watch::Receiver<State>;

    /// Ends what it does and waits for that, a moment at most. Blocks.
    fn end(&self);
}

impl Model for Engine {
    fn submit(&self, request: ChatRequest) -> Result<Pieces, ChatError> {
        let stream = Self::submit(self, request)?;
        Ok(Box::pin(futures_util::stream::unfold(stream, |mut stream| async {
            let piece = stream.next().await?;
            Some((piece, stream))
        })))
    }

    fn states(&self) -> watch::Receiver<State> {
        Self::states(self)
    }

    fn end(&self) {
        if !self.shutdown(END_PATIENCE) {
            tracing::warn!("a model did not end in time");
        }
    }
}

/// The settings as the model knows them.
pub(super) fn settings(settings: &ModelSettings) -> inference::ModelSettings {
    inference::ModelSettings {
        name: settings.name.to_string(),
        source: match &settings.source {
            ModelSource::BuiltIn => inference::Source::BuiltIn,
            ModelSource::Folder(path) => inference::Source::Directory(path.clone()),
        },
        device: match &settings.device {
            ModelDevice::Auto => inference::DeviceChoice::Auto,
            ModelDevice::Gpu => inference::DeviceChoice::Gpu,
            ModelDevice::Cpu => inference::DeviceChoice::Cpu,
            ModelDevice::Named(name) => inference::DeviceChoice::Adapter(name.clone()),
        },
        quantization: match settings.quantization {
            Quantization::None => inference::Quantization::None,
            Quantization::Q8 => inference::Quantization::Q8,
            Quantization::Q4 => inference::Quantization::Q4,
        },
        context_length: settings.context_length,
        max_concurrent: settings.max_concurrent,
        max_queue: settings.max_queue,
    }
}
