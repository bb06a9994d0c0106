//! Texts that end an answer.
//!
//! The answer ends where a stop text is first complete, and the stop text is no
//! part of it; of several complete at once, the longest counts. Text that may
//! yet turn out to be the beginning of one is held back, and nothing else is.

/// Looks for stop texts in an answer as it grows.
#[derive(Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<Stop>,
    /// The end of the text so far: the longest beginning of a stop text.
    held: String,
    stopped: bool,
}

/// One stop text, looked for as Knuth, Morris and Pratt do: each byte of the
/// answer is looked at once, however long the stop text is.
#[derive(Debug)]
struct Stop {
    text: Vec<u8>,
    /// Of the first `i + 1` bytes, how many are at their end a beginning again.
    borders: Vec<usize>,
    matched: usize,
}

// === impl StopMatcher ===

impl StopMatcher {
    /// Empty texts are ignored: they would end every answer before it begins.
    pub(crate) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|text| !text.is_empty()).map(|text| Stop::new(text)).collect();
        Self { stops, held: String::new(), stopped: false }
    }

    /// Takes more of the answer and returns what is certainly part of it. After
    /// a stop text, which [`stopped`](Self::stopped) tells, nothing is.
    pub(crate) fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let before = self.held.len();
        self.held.push_str(text);
        for (index, byte) in text.bytes().enumerate() {
            let mut complete = 0;
            for stop in &mut self.stops {
                if stop.advance(byte) {
                    complete = complete.max(stop.text.len());
                }
            }
            if complete > 0 {
                self.stopped = true;
                self.held.truncate(before + index + 1 - complete);
                return std::mem::take(&mut self.held);
            }
        }
        let possible = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - possible);
        std::mem::replace(&mut self.held, rest)
    }

    /// The answer has ended otherwise: what was held back is part of it.
    pub(crate) fn finish(&mut self) -> String {
        for stop in &mut self.stops {
            stop.matched = 0;
        }
        std::mem::take(&mut self.held)
    }

    /// Whether a stop text has come.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }
}

// === impl Stop ===

impl Stop {
    fn new(text: &str) -> Self {
        let text = text.as_bytes().to_vec();
        let mut borders = vec![0; text.len()];
        for end in 1..text.len() {
            let mut border = borders[end - 1];
            while border > 0 && text[border] != text[end] {
                border = borders[border - 1];
            }
            borders[end] = border + usize::from(text[border] == text[end]);
        }
        Self { text, borders, matched: 0 }
    }

    /// Looks at one more byte; whether the text is now complete.
    fn advance(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.text[self.matched] != byte {
            self.matched = self.borders[self.matched - 1];
        }
        if self.text[self.matched] == byte {
            self.matched += 1;
        }
        let complete = self.matched == self.text.len();
        if complete {
            self.matched = self.borders[self.matched - 1];
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matcher(stops: &[&str]) -> StopMatcher {
        StopMatcher::new(&stops.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_stop_text_across_pieces_is_no_part_of_the_answer() {
        let mut matcher = matcher(&["\nUser:"]);
        assert_eq!(matcher.push("Yes.\nUs"), "Yes.");
        assert_eq!(matcher.push("e"), "");
        assert!(!matcher.stopped());
        assert_eq!(matcher.push("r: and more"), "");
        assert!(matcher.stopped());
        assert_eq!(matcher.push("ignored") + &matcher.finish(), "");
    }

    #[test]
    fn what_turns_out_otherwise_is_released() {
        let mut matcher = matcher(&["aab", "xyz"]);
        assert_eq!(matcher.push("aa"), "");
        assert_eq!(matcher.push("a"), "a");
        assert_eq!(matcher.push("c"), "aac");
        assert_eq!(matcher.push("é xy"), "é ");
        assert_eq!(matcher.finish(), "xy");
    }

    #[test]
    fn of_two_complete_at_once_the_longer_counts() {
        assert_eq!(matcher(&["b", "ab"]).push("xab"), "x");
        assert_eq!(matcher(&["abc", "b"]).push("xabc"), "xa");
    }

    #[test]
    fn without_stop_texts_nothing_is_held() {
        assert_eq!(matcher(&["", ""]).push("all of it"), "all of it");
    }

    /// The shortest beginning of the text that ends with a stop text, cut there.
    fn naive(text: &str, stops: &[String]) -> (String, bool) {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let complete = stops.iter().filter(|stop| !stop.is_empty() && text[..end].ends_with(*stop));
            if let Some(longest) = complete.map(String::len).max() {
                return (text[..end - longest].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    proptest! {
        #[test]
        fn pieces_are_searched_as_the_whole_would_be(
            pieces in prop::collection::vec("[abé€]{0,5}", 0..12),
            stops in prop::collection::vec("[abé€]{0,5}", 0..4),
        ) {
            let mut matcher = StopMatcher::new(&stops);
            let mut answer = String::new();
            for piece in &pieces {
                answer += &matcher.push(piece);
                // Never more is held than the longest stop text's beginning.
                let longest = stops.iter().map(String::len).max().unwrap_or(0);
                prop_assert!(matcher.held.len() < longest.max(1));
            }
            answer += &matcher.finish();
            prop_assert_eq!((answer, matcher.stopped()), naive(&pieces.concat(), &stops));
        }
    }
}
