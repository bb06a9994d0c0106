//! The bytes of each token, one after the other.

use std::collections::HashSet;

use super::decoder::Decoder;
use super::{MAX_TOKEN_ID, TokenizerError};

/// One allocation for all tokens: `ends[id - 1]..ends[id]` are those of `id`.
#[derive(Debug)]
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

// === impl TokenBytes ===

impl TokenBytes {
    /// Spells out the whole vocabulary, except for special tokens.
    pub(super) fn new(
        tokenizer: &tokenizers::Tokenizer,
        decoder: &Decoder,
        specials: &HashSet<u32>,
    ) -> Result<Self, TokenizerError> {
        let mut tokens: Vec<(u32, String)> =
            tokenizer.get_vocab(true).into_iter().map(|(text, id)| (id, text)).collect();
        tokens.sort_unstable();
        if let Some((id, _)) = tokens.last().filter(|(id, _)| *id > MAX_TOKEN_ID) {
            return Err(TokenizerError::TokenId(*id));
        }
        let mut table = Self { bytes: Vec::new(), ends: Vec::new() };
        for (id, text) in tokens {
            let bytes = if specials.contains(&id) { Vec::new() } else { decoder.bytes(&text) };
            // Ids that no token has stand for nothing.
            while table.ends.len() < id as usize {
                table.ends.push(table.bytes.len());
            }
            if table.ends.len() == id as usize {
                table.bytes.extend(bytes);
                table.ends.push(table.bytes.len());
            }
        }
        Ok(table)
    }

    pub(super) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return &[] };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }
}
