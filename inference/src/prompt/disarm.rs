//! Special tokens that a message spells out stay text.
//!
//! A mark goes after the first character of each, before the template is
//! rendered. The rendered text is then cut at the marks, and each piece is
//! encoded by itself: none contains the whole of a special token that the
//! template did not write. The mark is a character that no message contains,
//! chosen when all of them are known, so none can guess it. Messages that spell
//! out no special token, nearly all, are encoded exactly as elsewhere.
//!
//! Words that are text to the tokenizer but mean something to the model, as
//! `[INST]` for Llama 2, cannot be told from the same words in a message; nor
//! are tokens like `<think>` disarmed, which vocabularies count as text.

use std::collections::HashSet;

use crate::chat::Message;
use crate::tokenizer::Tokenizer;

/// Characters from here on are not assigned, so that templates leave them be.
const FIRST_MARK: char = '\u{40000}';

/// Contents in which special tokens are broken up.
pub(super) struct Disarmed {
    /// The mark, and the contents that hold it, by their message's index.
    broken: Option<(char, Vec<(usize, String)>)>,
}

// === impl Disarmed ===

impl Disarmed {
    /// Breaks up what is spelt out; `None` where the messages leave no
    /// character for a mark, which takes three megabytes of intent.
    pub(super) fn new(messages: &[Message], tokenizer: &Tokenizer) -> Option<Self> {
        let spells_out =
            |(_, message): &(usize, &Message)| tokenizer.spelt_out_specials(&message.content).next().is_some();
        let armed: Vec<(usize, &Message)> = messages.iter().enumerate().filter(spells_out).collect();
        if armed.is_empty() {
            return Some(Self { broken: None });
        }
        let mark = unused_character(messages)?;
        let broken = armed.into_iter().map(|(index, message)| (index, break_up(&message.content, mark, tokenizer)));
        Some(Self { broken: Some((mark, broken.collect())) })
    }

    /// Each message with the content that the template shall see.
    pub(super) fn turns<'a>(&'a self, messages: &'a [Message]) -> impl Iterator<Item = (&'a Message, &'a str)> {
        let broken = self.broken.as_ref().map(|(_, contents)| contents.as_slice()).unwrap_or_default();
        let mut next = broken.iter().peekable();
        messages.iter().enumerate().map(move |(index, message)| {
            let content = next.next_if(|(at, _)| *at == index).map_or(message.content.as_str(), |(_, content)| content);
            (message, content)
        })
    }

    /// The parts of what was rendered that are to be encoded one by one.
    pub(super) fn pieces<'a>(&self, rendered: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let mark = self.broken.as_ref().map(|(mark, _)| *mark);
        // Without a mark the predicate holds nowhere, and all is one piece.
        rendered.split(move |character| Some(character) == mark)
    }
}

fn unused_character(messages: &[Message]) -> Option<char> {
    let characters = messages.iter().flat_map(|message| message.content.chars());
    let used: HashSet<char> = characters.filter(|character| *character >= FIRST_MARK).collect();
    (FIRST_MARK..=char::MAX).find(|character| !used.contains(character))
}

fn break_up(content: &str, mark: char, tokenizer: &Tokenizer) -> String {
    let mut starts: Vec<usize> = tokenizer.spelt_out_specials(content).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut broken = String::with_capacity(content.len() + starts.len() * mark.len_utf8());
    let mut copied = 0;
    for start in starts {
        let cut = content.ceil_char_boundary(start + 1);
        broken.push_str(&content[copied..cut]);
        broken.push(mark);
        copied = cut;
    }
    broken.push_str(&content[copied..]);
    broken
}
