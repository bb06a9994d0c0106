//! A child's standard error, which MCP servers use as their log.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What is kept of a line; the rest is skipped.
const MAX_LOGGED_BYTES: usize = 8 << 10;

/// Hands each line that is not empty to `log` until the source ends.
pub(super) async fn forward_lines(mut source: impl AsyncBufRead + Unpin, mut log: impl FnMut(&str)) {
    let mut line = Vec::new();
    // An unreadable stream is as good as an ended one.
    while let Ok(chunk) = source.fill_buf().await {
        let (part, line_ends, used) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&chunk[..end], true, end + 1),
            None => (chunk, chunk.is_empty(), chunk.len()),
        };
        let room = MAX_LOGGED_BYTES - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        source.consume(used);
        if line_ends {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() {
                log(text);
            }
            line.clear();
        }
        if used == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn logged(source: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        // A small buffer, so that lines span several reads.
        forward_lines(BufReader::with_capacity(7, source), |line| lines.push(line.to_owned())).await;
        lines
    }

    #[tokio::test]
    async fn every_line_is_logged_and_the_last_needs_no_end() {
        assert_eq!(logged(b"first line\r\n\nsecond\nthird").await, ["first line", "second", "third"]);
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_whole() {
        let source = [vec![b'a'; 3 * MAX_LOGGED_BYTES], b"\nnext\n".to_vec()].concat();
        assert_eq!(logged(&source).await, ["a".repeat(MAX_LOGGED_BYTES).as_str(), "next"]);
    }

    #[tokio::test]
    async fn bytes_that_are_not_text_do_not_stop_the_log() {
        assert_eq!(logged(b"\xff\xfe\nnext\n").await, ["\u{fffd}\u{fffd}", "next"]);
    }
}
