//! SIGHUP is a change. Alone in its process, because a signal reaches all of it.

#![cfg(unix)]

use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use portcullis::reload::Changes;

#[tokio::test]
async fn sighup_is_a_change() {
    let mut changes = Changes::watch(&[]).unwrap();
    raise(Signal::SIGHUP).unwrap();
    tokio::time::timeout(Duration::from_secs(20), changes.next()).await.expect("the signal is noticed");
}
