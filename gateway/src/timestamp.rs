//! Points in time as log and audit lines write them.

use std::cell::Cell;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use crate::decimal::push_digits;

/// `2026-01-31T23:59:59`.
const SECONDS_LEN: usize = 19;

thread_local! {
    /// The second that was written last and how it reads: most lines share it.
    static LAST_SECOND: Cell<(u64, [u8; SECONDS_LEN])> = const { Cell::new((u64::MAX, [0; SECONDS_LEN])) };
}

/// Appends the time in RFC 3339, UTC, with milliseconds.
///
/// Times before 1970 read as 1970, times after 9999 as its last second.
pub(crate) fn push_rfc3339(out: &mut Vec<u8>, time: SystemTime) {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs().min(253_402_300_799);
    let (last, text) = LAST_SECOND.get();
    let text = if last == seconds {
        text
    } else {
        let text = format_second(seconds);
        LAST_SECOND.set((seconds, text));
        text
    };
    out.extend_from_slice(&text);
    out.push(b'.');
    push_digits(out, since_epoch.subsec_millis().into(), 3);
    out.push(b'Z');
}

fn format_second(seconds: u64) -> [u8; SECONDS_LEN] {
    let seconds = i64::try_from(seconds).expect("the caller bounds it");
    let at = OffsetDateTime::from_unix_timestamp(seconds).expect("the year has four digits");
    let mut text = [0; SECONDS_LEN];
    let (date, time) = (at.date(), at.time());
    write!(
        text.as_mut_slice(),
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
    .expect("a date and time of four-digit years has 19 characters");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(since_epoch: Duration) -> String {
        let mut out = Vec::new();
        push_rfc3339(&mut out, UNIX_EPOCH + since_epoch);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(text(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(Duration::from_millis(1_772_323_199_007)), "2026-02-28T23:59:59.007Z");
        assert_eq!(text(Duration::from_millis(1_772_323_200_000)), "2026-03-01T00:00:00.000Z");
        assert_eq!(text(Duration::from_secs(u64::from(u32::MAX) * 100)), "9999-12-31T23:59:59.000Z");
    }
}
