//! What a process writes, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

use crate::patience::wait_for;

/// The lines so far. Clones see the same lines.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

// === impl Log ===

impl Log {
    /// Collects what comes from `output` until its end.
    pub(super) fn of(output: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let collected = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                collected.locked().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        log
    }

    /// All lines as they came.
    pub fn lines(&self) -> Vec<String> {
        self.locked().clone()
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.locked().join("\n")
    }

    /// The first line of a JSON log that `wanted` accepts.
    pub fn find(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        self.events().into_iter().find(wanted)
    }

    /// The lines that are JSON objects, with fields nested under `fields` lifted out.
    pub fn events(&self) -> Vec<Value> {
        self.locked().iter().filter_map(|line| serde_json::from_str(line).ok()).map(flat).collect()
    }

    /// The address that a line of either format says this listener has.
    pub(super) fn listening(&self, listener: &str) -> Option<SocketAddr> {
        let lines = self.locked();
        let line = lines.iter().find(|line| line.contains("listening") && line.contains(listener))?;
        let address = line.split("address").nth(1)?.trim_start_matches(['"', ':', '=', ' ']);
        address.split(['"', ' ', ',', '}']).next()?.parse().ok()
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for(&self, text: &str) -> String {
        wait_for(text, || self.locked().iter().find(|line| line.contains(text)).cloned())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flat(mut event: Value) -> Value {
    if let Some(Value::Object(fields)) = event.get_mut("fields").map(Value::take) {
        for (name, value) in fields {
            event[name] = value;
        }
    }
    event
}
