//! Text to token ids, and ids to bytes.
//!
//! A checkpoint's `tokenizer.json` says how. Two kinds of decoder are known,
//! since the families that can be loaded have no other: byte-level, and blank
//! space as a letter with bytes for what is unknown. For both, each token
//! stands for the same bytes wherever it appears, so a table of bytes is all
//! that [streaming](crate::text_stream) needs.
//!
//! Text is encoded without adding tokens: the chat template writes them all.

mod config;
mod decoder;
mod token_bytes;

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use serde_json::Value;

pub(crate) use self::config::TokenizerConfig;
use self::decoder::Decoder;
use self::token_bytes::TokenBytes;

/// Ids above this are refused: a table of bytes holds an entry for each.
const MAX_TOKEN_ID: u32 = (1 << 24) - 1;

/// Why a tokenizer cannot be used; for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenizerError {
    /// The file does not say what it should.
    #[error("{file} cannot be read")]
    Json {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is JSON, but no tokenizer.
    #[error("tokenizer.json describes no tokenizer: {0}")]
    Invalid(String),
    /// Tokens could not be turned back into text.
    #[error(
        "tokenizer.json: the decoder {0} is not known; known are ByteLevel, and Metaspace or Sequence of Replace, ByteFallback, Fuse and Strip"
    )]
    Decoder(String),
    /// An id that no vocabulary of sane size has.
    #[error("tokenizer.json: the token id {0} is beyond the {MAX_TOKEN_ID} that are supported")]
    TokenId(u32),
    /// A text that the vocabulary has no tokens for.
    #[error("the tokenizer cannot encode this text")]
    Encode,
}

/// A checkpoint's tokenizer.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bytes: TokenBytes,
    strips_first_space: bool,
    special_ids: HashSet<u32>,
    specials: Option<AhoCorasick>,
}

// === impl Tokenizer ===

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// When it is no tokenizer, or one whose decoder is not known.
    pub(crate) fn new(file: &[u8]) -> Result<Self, TokenizerError> {
        let json: Value =
            serde_json::from_slice(file).map_err(|source| TokenizerError::Json { file: "tokenizer.json", source })?;
        let decoder = Decoder::new(&json["decoder"])?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(file).map_err(|error| TokenizerError::Invalid(error.to_string()))?;
        // Some checkpoints carry the lengths they were trained with.
        inner.with_truncation(None).map_err(|error| TokenizerError::Invalid(error.to_string()))?;
        inner.with_padding(None);

        let mut special_ids = HashSet::new();
        let mut special_texts = Vec::new();
        for (id, token) in inner.get_added_tokens_decoder() {
            if !token.special {
                continue;
            }
            special_ids.insert(id);
            // One character cannot be cut in two; no published vocabulary has such a token.
            if token.content.chars().nth(1).is_some() {
                special_texts.push(token.content);
            }
        }
        let bytes = TokenBytes::new(&inner, &decoder, &special_ids)?;
        Ok(Self {
            strips_first_space: decoder.strips_first_space(),
            specials: searcher(&special_texts)?,
            inner,
            bytes,
            special_ids,
        })
    }

    /// The ids of a text. Special tokens that are spelt out in it are recognised.
    ///
    /// # Errors
    ///
    /// When the vocabulary has no tokens for it.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false).map_err(|_| TokenizerError::Encode)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The bytes that a token stands for: none for special tokens and for ids
    /// that the vocabulary lacks.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// Whether a decoded text loses the blank with which it begins.
    pub(crate) fn strips_first_space(&self) -> bool {
        self.strips_first_space
    }

    /// Whether a token marks something rather than being text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// Where in `text` special tokens are spelt out: the byte offset of each.
    pub(crate) fn spelt_out_specials<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let matches = self.specials.iter().flat_map(move |specials| specials.find_overlapping_iter(text));
        matches.map(|found| found.start())
    }
}

fn searcher(texts: &[String]) -> Result<Option<AhoCorasick>, TokenizerError> {
    if texts.is_empty() {
        return Ok(None);
    }
    AhoCorasick::new(texts).map(Some).map_err(|error| TokenizerError::Invalid(error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests;
