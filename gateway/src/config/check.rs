//! What is found out while a configuration is checked: its faults, and the
//! files it rests on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_policies::yaml::{Document, Fault, Severity, StandIns};

use super::place::Place;
use super::secret::Environment;

/// No file that a configuration names is larger, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The check of one configuration file.
///
/// Every part reports here and goes on, so that all faults come out at once. A
/// part that cannot give a value after a fault gives nothing, or a stand-in:
/// with a fault reported no configuration comes out.
pub(super) struct Check<'a> {
    document: &'a Document,
    stand_ins: StandIns,
    folder: &'a Path,
    environment: Environment<'a>,
    files: &'a mut Files,
    found: Vec<Fault>,
}

/// The files a configuration rests on.
pub(super) struct Files {
    watched: BTreeSet<PathBuf>,
    content: Context,
}

// === impl Check ===

impl<'a> Check<'a> {
    /// Begins a check of `document`, which has `stand_ins` in it: what is found
    /// there is not reported. Relative paths count from `folder`.
    pub(super) fn new(
        document: &'a Document,
        stand_ins: StandIns,
        folder: &'a Path,
        environment: Environment<'a>,
        files: &'a mut Files,
    ) -> Self {
        Self { document, stand_ins, folder, environment, files, found: Vec::new() }
    }

    /// Reports what keeps the configuration from being used.
    pub(super) fn fault(&mut self, place: &Place, message: impl Into<String>) {
        self.found_at(self.document.fault_at(place.as_str(), message));
    }

    /// Reports what is surely not meant, though it can be used.
    pub(super) fn warn(&mut self, place: &Place, message: impl Into<String>) {
        self.found_at(self.document.warning_at(place.as_str(), message));
    }

    fn found_at(&mut self, fault: Fault) {
        if !self.stand_ins.explain(&fault) {
            self.found.push(fault);
        }
    }

    /// Adds what another check found.
    pub(super) fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.found.extend(faults);
    }

    /// Whether anything keeps the configuration from being used.
    pub(super) fn failed(&self) -> bool {
        self.found.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// All that was found: this file's in the order of its lines, then the others'.
    pub(super) fn finish(self) -> Vec<Fault> {
        let mut found = self.found;
        let own = self.document.file();
        found.sort_by(|a, b| {
            let key = |fault: &Fault| (fault.file != own, fault.file.clone(), fault.line, fault.column);
            key(a).cmp(&key(b))
        });
        found.dedup();
        found
    }

    /// Whether the file says something there itself.
    pub(super) fn is_written(&self, place: &Place) -> bool {
        self.document.value().pointer(place.as_str()).is_some()
    }

    /// The variable `name` of the environment.
    pub(super) fn environment(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// `path` as the file means it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Reads a file and watches it from now on.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.read(path)
    }

    /// Reads a file that its user watches itself.
    pub(super) fn read_unwatched(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_bounded(path)
    }

    /// Watches a file for its coming, a folder for what comes into it and leaves.
    pub(super) fn watch(&mut self, path: PathBuf) {
        self.files.watched.insert(path);
    }
}

// === impl Files ===

impl Files {
    /// No files yet.
    pub(super) fn new() -> Self {
        Self { watched: BTreeSet::new(), content: Context::new(&SHA256) }
    }

    /// Reads a file; it counts as watched even where it cannot be read, so that
    /// its coming is seen.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or is larger than any of these files should be.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.watched.insert(path.to_owned());
        let content = read_bounded(path);
        let (tag, bytes) = match &content {
            Ok(bytes) => (b"file", bytes.as_slice()),
            Err(_) => (b"none", [].as_slice()),
        };
        // Lengths keep two files from being taken for one.
        let path = path.as_os_str().as_encoded_bytes();
        self.content.update(tag);
        self.content.update(&path.len().to_be_bytes());
        self.content.update(path);
        self.content.update(&bytes.len().to_be_bytes());
        self.content.update(bytes);
        content
    }

    /// What is to be watched, and a digest of everything that was read.
    pub(super) fn finish(self) -> (Vec<PathBuf>, [u8; 32]) {
        let digest = self.content.finish();
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.as_ref());
        (self.watched.into_iter().collect(), fingerprint)
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_follows_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let fingerprint = || {
            let mut files = Files::new();
            let _ = files.read(&path);
            files.finish().1
        };
        let absent = fingerprint();
        std::fs::write(&path, "").unwrap();
        let empty = fingerprint();
        std::fs::write(&path, "a").unwrap();
        let full = fingerprint();
        assert_ne!(absent, empty);
        assert_ne!(empty, full);
        assert_eq!(full, fingerprint());
    }

    #[test]
    fn a_file_that_is_not_there_is_watched_all_the_same() {
        let mut files = Files::new();
        assert!(files.read(Path::new("/nonexistent/x")).is_err());
        assert_eq!(files.finish().0, [PathBuf::from("/nonexistent/x")]);
    }
}
