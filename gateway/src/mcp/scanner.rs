//! Reads JSON where it stands: passes over values without building anything,
//! and says where each begins and ends.
//!
//! It takes exactly what `serde_json` takes, which the tests hold it to, and
//! does what a parser behind that interface cannot: bound the nesting as it
//! goes, and hand an object's members over on the way instead of in a second
//! look. Nothing recurses by what the text says.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Reads one text from front to back.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    /// How far it is read, always at a character's edge.
    at: usize,
    /// How many levels may still open.
    levels: usize,
}

/// Why a text cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not JSON.
    #[error("not JSON")]
    Malformed,
    /// It nests deeper than allowed.
    #[error("nests too deep")]
    TooDeep,
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    /// A scanner of a text of any depth.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self::bounded(text, usize::MAX)
    }

    /// A scanner of a text that may nest so many levels.
    #[must_use]
    pub const fn bounded(text: &'a str, levels: usize) -> Self {
        Self { text, at: 0, levels }
    }

    /// How far the text is read; behind [`Scanner::peek`] the place of that byte.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The byte that comes next, behind white space; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        loop {
            match self.byte() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Passes over one value, whatever it is, and returns its text.
    ///
    /// # Errors
    ///
    /// [`Fault`]
    pub fn value(&mut self) -> Result<&'a str, Fault> {
        let first = self.peek();
        let start = self.at;
        match first {
            b'{' | b'[' => self.nested()?,
            _ => self.scalar(first)?,
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads an object and returns its text. `visit` gets each key, decoded,
    /// and must pass over its value.
    ///
    /// # Errors
    ///
    /// [`Fault`], also if the next value is no object, and those of `visit`.
    pub fn object(
        &mut self,
        mut visit: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Fault>,
    ) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        self.expect(b'{')?;
        self.levels = self.levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        if self.peek() != b'}' {
            loop {
                let key = self.key()?;
                visit(self, key)?;
                if self.peek() != b',' {
                    break;
                }
                self.at += 1;
            }
        }
        self.expect(b'}')?;
        self.levels += 1;
        Ok(&self.text[start..self.at])
    }

    /// Reads an array and returns its text. `visit` must pass over each value.
    ///
    /// # Errors
    ///
    /// [`Fault`], also if the next value is no array, and those of `visit`.
    pub fn array(&mut self, mut visit: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        self.expect(b'[')?;
        self.levels = self.levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        if self.peek() != b']' {
            loop {
                visit(self)?;
                if self.peek() != b',' {
                    break;
                }
                self.at += 1;
            }
        }
        self.expect(b']')?;
        self.levels += 1;
        Ok(&self.text[start..self.at])
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    ///
    /// [`Fault::Malformed`]
    pub fn end(&mut self) -> Result<(), Fault> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(Fault::Malformed) }
    }

    /// How far it is read: line and byte of the line, from 1.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        let read = &self.text.as_bytes()[..self.at];
        let line = read.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        (1 + read.iter().filter(|byte| **byte == b'\n').count(), 1 + read.len() - line)
    }

    /// The next byte; 0 at the end, where JSON has none.
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(Fault::Malformed)
        }
    }

    /// Passes over an object or array.
    fn nested(&mut self) -> Result<(), Fault> {
        // What will close those that are open, innermost last.
        let mut open = SmallVec::<[u8; 32]>::new();
        loop {
            // Where a value is to begin.
            match self.peek() {
                opening @ (b'{' | b'[') => {
                    if open.len() >= self.levels {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    // Both stand two places behind in ASCII.
                    let closing = opening + 2;
                    open.push(closing);
                    if self.peek() != closing {
                        if opening == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                scalar => self.scalar(scalar)?,
            }
            // Behind a value, or where there is none.
            loop {
                let Some(closing) = open.last() else { return Ok(()) };
                match self.peek() {
                    b',' => break,
                    byte if byte == *closing => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(Fault::Malformed),
                }
            }
            self.at += 1;
            if open.last() == Some(&b'}') {
                self.name()?;
            }
        }
    }

    /// Passes over a key and its colon.
    fn name(&mut self) -> Result<(), Fault> {
        if self.peek() != b'"' {
            return Err(Fault::Malformed);
        }
        self.string()?;
        self.expect(b':')
    }

    /// The same; returns the key, decoded.
    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != b'"' {
            return Err(Fault::Malformed);
        }
        let start = self.at;
        let escaped = self.string()?;
        let end = self.at;
        self.expect(b':')?;
        if escaped {
            string(&self.text[start..end]).ok_or(Fault::Malformed)
        } else {
            Ok(Cow::Borrowed(&self.text[start + 1..end - 1]))
        }
    }

    #[inline(always)]
    fn scalar(&mut self, first: u8) -> Result<(), Fault> {
        match first {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => Err(Fault::Malformed),
        }
    }

    /// Passes over a string, at whose opening quote it stands, and says
    /// whether it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        self.at += plain_bytes(&self.text.as_bytes()[self.at..]);
        if self.byte() == b'"' {
            self.at += 1;
            return Ok(false);
        }
        self.escapes().map(|()| true)
    }

    /// Passes over the rest of a string from its first escape.
    #[cold]
    fn escapes(&mut self) -> Result<(), Fault> {
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            match rest.first() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += escape_bytes(rest).ok_or(Fault::Malformed)?,
                _ => return Err(Fault::Malformed),
            }
            self.at += plain_bytes(&self.text.as_bytes()[self.at..]);
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        match self.byte() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Passes over digits, of which there must be one.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Fault::Malformed) }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Fault::Malformed);
        }
        self.at += word.len();
        Ok(())
    }
}

/// The string for which a scanned value stands, borrowed where it has no
/// escapes; `None` where the value is something else.
#[must_use]
pub fn string(value: &str) -> Option<Cow<'_, str>> {
    let plain = value.strip_prefix('"')?.strip_suffix('"')?;
    if is_plain(plain) { Some(Cow::Borrowed(plain)) } else { serde_json::from_str(value).ok().map(Cow::Owned) }
}

/// Whether a JSON string holds the text as it is, without escapes.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    plain_bytes(text.as_bytes()) == text.len()
}

/// How many bytes the escape has with which `bytes` begin.
fn escape_bytes(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// How many bytes come before the first that is not simply part of a string:
/// a quote, a backslash or a control character.
#[inline(never)] // Alone it needs no register that callers would have to save.
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut plain = 0;
    while let Some(word) = bytes[plain..].first_chunk() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return plain + special.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain + plain_bytes_at_the_end(&bytes[plain..])
}

#[cold]
fn plain_bytes_at_the_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len())
}

/// The high bit of each byte that is special, exact up to the first.
///
/// Eight bytes at a time: what is taken from a byte that is less borrows, and
/// sets its high bit. With its second bit turned a quote stands right behind
/// the control characters.
const fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let quote_or_control = (word ^ (EACH * 0x02)).wrapping_sub(EACH * 0x21);
    let backslash = (word ^ (EACH * 0x5c)).wrapping_sub(EACH);
    (quote_or_control | backslash) & !word & (EACH * 0x80)
}

#[cfg(test)]
mod tests;
