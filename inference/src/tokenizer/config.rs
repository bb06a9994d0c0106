//! `tokenizer_config.json`: what special tokens are called, and the chat
//! template of older checkpoints.

use serde::Deserialize;

use super::TokenizerError;

/// What is read of `tokenizer_config.json`; all of it may be missing.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TokenizerConfig {
    bos_token: Option<SpecialToken>,
    eos_token: Option<SpecialToken>,
    unk_token: Option<SpecialToken>,
    pad_token: Option<SpecialToken>,
    chat_template: Option<ChatTemplates>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Text(String),
    Object { content: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ChatTemplates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

// === impl TokenizerConfig ===

impl TokenizerConfig {
    /// Reads the file; without one, nothing is known.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or something in it is not what it should be.
    pub(crate) fn new(file: Option<&[u8]>) -> Result<Self, TokenizerError> {
        let Some(file) = file else { return Ok(Self::default()) };
        serde_json::from_slice(file).map_err(|source| TokenizerError::Json { file: "tokenizer_config.json", source })
    }

    /// The special tokens under the names that templates know them by.
    pub(crate) fn special_tokens(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let tokens = [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("unk_token", &self.unk_token),
            ("pad_token", &self.pad_token),
        ];
        tokens.into_iter().filter_map(|(name, token)| Some((name, token.as_ref()?.text())))
    }

    /// The template for plain conversations: the only one, or the one that is
    /// named `default`.
    pub(crate) fn chat_template(&self) -> Option<&str> {
        match self.chat_template.as_ref()? {
            ChatTemplates::One(template) => Some(template),
            ChatTemplates::Named(templates) => {
                let default = templates.iter().find(|named| named.name == "default")?;
                Some(&default.template)
            }
        }
    }
}

impl SpecialToken {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}
