//! Finds the policy files that the configuration names, and compiles them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use portcullis_policies::PolicySet;
use portcullis_policies::yaml::{Document, Fault, Severity};

use super::check::Check;
use super::place::Place;

/// How far below its fixed part a glob is followed.
const MAX_DEPTH: usize = 16;
/// How many folder entries one glob may look at.
const MAX_ENTRIES: usize = 100_000;

/// Reads every policy file that `patterns` name. All faults are reported.
pub(super) fn read(check: &mut Check<'_>, patterns: &[String]) -> Vec<Document> {
    let place = Place::root("policies");
    if patterns.is_empty() {
        check.warn(&place, "no policy file is named, so every call will be denied");
    }
    let mut paths = BTreeSet::new();
    for (index, pattern) in patterns.iter().enumerate() {
        match find(check, pattern) {
            Ok(found) if found.is_empty() => {
                check.fault(&place.index(index), format!("`{pattern}` names no file"));
            }
            Ok(found) => paths.extend(found),
            Err(message) => check.fault(&place.index(index), message),
        }
    }
    let mut documents = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let text = check.read(&path).and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
        match text.map(|text| Document::parse_leniently(&text, name.as_str())) {
            Ok(Ok(document)) => documents.push(document),
            Ok(Err(faults)) => check.add(faults),
            Err(error) => check.add([unreadable(&name, &error)]),
        }
    }
    documents
}

/// Compiles them; `None` after faults were reported.
pub(super) fn compile(check: &mut Check<'_>, documents: &[Document]) -> Option<PolicySet> {
    PolicySet::compile(documents).map_err(|faults| check.add(faults)).ok()
}

/// A fault of a whole file, which has no lines to point at.
pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Fault {
    Fault {
        file: file.to_owned(),
        line: 1,
        column: 1,
        path: String::new(),
        message: format!("cannot be read: {error}"),
        suggestion: None,
        severity: Severity::Error,
    }
}

/// The files that `pattern` names. The folders it looks into are watched.
fn find(check: &mut Check<'_>, pattern: &str) -> Result<Vec<PathBuf>, String> {
    // One file under two spellings would be two files of the same policies.
    let parts = Path::new(pattern).components().filter(|part| *part != Component::CurDir);
    let parts: Vec<Component<'_>> = parts.collect();
    let fixed = parts.iter().take_while(|part| !is_glob(part)).count();
    let (base, rest): (PathBuf, PathBuf) = (parts[..fixed].iter().collect(), parts[fixed..].iter().collect());
    let base = check.path(&base.to_string_lossy());
    if fixed == parts.len() {
        check.watch(base.clone());
        return Ok(if base.is_file() { vec![base] } else { Vec::new() });
    }
    // Where configuration and pattern are both relative, nothing is the folder we are in.
    let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
    let glob = GlobBuilder::new(&rest.to_string_lossy()).literal_separator(true).build();
    let glob = glob.map_err(|error| format!("`{pattern}` is not a pattern: {}", error.kind()))?;
    let depth = if pattern.contains("**") { MAX_DEPTH } else { parts.len() - fixed };
    let mut walk = Walk { matcher: glob.compile_matcher(), base: base.clone(), found: Vec::new(), entries: 0 };
    walk.descend(check, &base, depth)?;
    Ok(walk.found)
}

fn is_glob(part: &Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{'])
}

struct Walk {
    /// Over paths from `base`.
    matcher: GlobMatcher,
    base: PathBuf,
    found: Vec<PathBuf>,
    entries: usize,
}

// === impl Walk ===

impl Walk {
    fn descend(&mut self, check: &mut Check<'_>, folder: &Path, depth: usize) -> Result<(), String> {
        check.watch(folder.to_owned());
        // What is not there, or not ours to read, holds no file that we know of.
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(format!("looks at more than {MAX_ENTRIES} files: name a narrower folder"));
            }
            // Editors' swap files, and the folders behind a mounted ConfigMap.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                if depth > 1 {
                    self.descend(check, &path, depth - 1)?;
                }
            } else if path.strip_prefix(&self.base).is_ok_and(|path| self.matcher.is_match(path)) {
                self.found.push(path);
            }
        }
        Ok(())
    }
}
