//! Takes messages out of a server-sent event stream (WHATWG HTML §9.2).

/// Collects the `data` of events from bytes as they come.
#[derive(Debug, Default)]
pub(super) struct EventData {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_return: bool,
}

// === impl EventData ===

impl EventData {
    /// Takes the next bytes; gives the data of each event that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let second_of_two = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_of_two => {}
                b'\n' | b'\r' => complete.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        complete
    }

    /// How many bytes are held for an event that is not complete.
    pub(super) fn held(&self) -> usize {
        self.line.len() + self.data.len()
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return None,
        };
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_complete_at_an_empty_line_however_the_bytes_are_cut() {
        let stream = b": comment\r\nevent: message\r\nid: 1\ndata: a\ndata:b\n\n\
            data\n\nretry: 5\n\ndatafile: x\n\ndata: c\r\rdata: rest\n";
        let expected: [&[u8]; 3] = [b"a\nb", b"", b"c"];
        assert_eq!(EventData::default().push(stream), expected);
        let mut events = EventData::default();
        let cut: Vec<_> = stream.iter().flat_map(|byte| events.push(&[*byte])).collect();
        assert_eq!(cut, expected);
        assert_eq!(events.held(), 4);
    }
}
