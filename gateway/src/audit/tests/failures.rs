//! What happens when the disk does not do its part.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::audit::chain::Chain;
use crate::audit::file::Store;

/// How long a condition may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);

/// A disk that can be told to refuse.
#[derive(Clone, Default)]
struct Disk {
    full: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Disk {
    fn lines(&self) -> usize {
        self.written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count()
    }
}

impl Store for Disk {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn rotate(&mut self, _: &mut Chain) -> Result<(), AuditError> {
        Ok(())
    }
}

fn open(disk: &Disk, capacity: usize) -> AuditLog {
    let shared = Arc::new(Shared::with(capacity, Duration::from_millis(1)));
    let (theirs, store) = (Arc::clone(&shared), disk.clone());
    let writer = std::thread::spawn(move || write_entries(&theirs, store, Chain::EMPTY));
    AuditLog { shared, writer: Some(writer) }
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it never comes about");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_makes_the_log_unwritable_until_there_is_room_and_loses_nothing() {
    let disk = Disk::default();
    let log = open(&disk, 8);
    disk.full.store(true, Ordering::Relaxed);
    log.append(entry("a", None)).now_or_never().unwrap();
    wait_until(|| !log.is_writable());
    log.append(entry("b", None)).now_or_never().unwrap();
    disk.full.store(false, Ordering::Relaxed);
    wait_until(|| log.is_writable() && disk.lines() == 2);
    let written = disk.written.lock().unwrap().clone();
    for (line, seq) in written.split(|byte| *byte == b'\n').zip([1, 2]) {
        assert_eq!(chain::Link::parse(line).unwrap().seq, seq);
    }
}

#[test]
fn a_full_queue_makes_callers_wait() {
    let disk = Disk::default();
    disk.full.store(true, Ordering::Relaxed);
    let log = open(&disk, 2);
    for id in ["a", "b"] {
        log.append(entry(id, None)).now_or_never().expect("there is room");
    }
    let mut waiting = Box::pin(log.append(entry("c", None)));
    assert!(waiting.as_mut().now_or_never().is_none());
    disk.full.store(false, Ordering::Relaxed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, waiting).await }).expect("room comes about");
    drop(log);
    assert_eq!(disk.lines(), 3);
}

#[test]
fn reserved_room_that_is_not_used_is_given_back() {
    let log = open(&Disk::default(), 1);
    let reservation = log.reserve().now_or_never().unwrap();
    assert!(log.reserve().now_or_never().is_none());
    drop(reservation);
    assert!(log.reserve().now_or_never().is_some());
}

#[test]
fn closing_does_not_wait_for_a_disk_that_refuses() {
    let disk = Disk::default();
    disk.full.store(true, Ordering::Relaxed);
    let log = open(&disk, 8);
    log.append(entry("a", None)).now_or_never().unwrap();
    drop(log);
    assert_eq!(disk.lines(), 0);
}
