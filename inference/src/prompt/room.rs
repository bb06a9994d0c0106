//! Whether a long text is worth encoding.
//!
//! Encoding a megabyte takes seconds where it becomes a million tokens. Text
//! that is much longer than the room for it is therefore first counted in
//! windows, until it is certain that it cannot fit: what that costs depends on
//! the context's length, not on the text's.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// Bytes of a window.
const WINDOW: usize = 16 << 10;
/// More tokens than this are not made by cutting a text in two where one of
/// them is cut: each byte of it may become a token.
const CUT: usize = 64;
/// Text of so many bytes for each token there is room for is encoded at once.
const WORTH_ENCODING: usize = 4;

/// At least so many tokens come of `text`, if these are `room` or more.
///
/// Windows are counted as half: between them a text is encoded otherwise than
/// as a whole, though never so differently.
///
/// # Errors
///
/// When the vocabulary has no tokens for it.
pub(super) fn overflow(tokenizer: &Tokenizer, text: &str, room: usize) -> Result<Option<usize>, TokenizerError> {
    if text.len() <= room.saturating_mul(WORTH_ENCODING).max(2 * WINDOW) {
        return Ok(None);
    }
    let mut counted = 0_usize;
    let mut rest = text;
    while !rest.is_empty() {
        let (window, after) = rest.split_at(rest.floor_char_boundary(WINDOW));
        counted += tokenizer.encode(window)?.len().saturating_sub(CUT);
        if counted / 2 >= room {
            return Ok(Some(counted / 2));
        }
        rest = after;
    }
    Ok(None)
}
