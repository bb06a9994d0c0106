//! Which folders must be watched so that no change of some paths is missed.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links one path may lead through (Linux: `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// What to watch, and which of what is seen there matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    /// The folders to watch.
    folders: BTreeSet<PathBuf>,
    /// Of these everything matters that is directly inside.
    whole: BTreeSet<PathBuf>,
    /// These matter wherever they are.
    exact: BTreeSet<PathBuf>,
}

// === impl Interest ===

impl Interest {
    /// Interest in the content of `paths` that are files, or are not there, and
    /// in what comes and goes in those that are folders.
    pub(super) fn in_paths(paths: &[PathBuf]) -> Self {
        let mut interest = Self::default();
        for path in paths {
            if let Ok(path) = std::path::absolute(path) {
                interest.add(&path);
            }
        }
        interest
    }

    /// The folders to watch.
    pub(super) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// Whether an event about `paths` matters.
    pub(super) fn concerns(&self, paths: &[PathBuf]) -> bool {
        paths
            .iter()
            .any(|path| self.exact.contains(path) || path.parent().is_some_and(|folder| self.whole.contains(folder)))
    }

    /// Follows an absolute path. Every link on the way matters, and so do its
    /// end and the first part that is missing.
    fn add(&mut self, path: &Path) {
        let mut folder = PathBuf::new();
        let mut rest: VecDeque<OsString> = parts(path).collect();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == Component::ParentDir.as_os_str() {
                folder.pop();
                continue;
            }
            let here = folder.join(&part);
            let Ok(metadata) = fs::symlink_metadata(&here) else {
                return self.matters(&folder, here);
            };
            if metadata.is_symlink() {
                links += 1;
                let target = fs::read_link(&here).unwrap_or_default();
                self.matters(&folder, here);
                if links > MAX_LINKS {
                    return;
                }
                for part in parts(&target).rev() {
                    rest.push_front(part);
                }
            } else {
                if rest.is_empty() {
                    self.matters(&folder, here.clone());
                }
                folder = here;
            }
        }
        if folder.is_dir() {
            self.folders.insert(folder.clone());
            self.whole.insert(folder);
        }
    }

    fn matters(&mut self, folder: &Path, path: PathBuf) {
        if folder.is_dir() {
            self.folders.insert(folder.to_owned());
        }
        self.exact.insert(path);
    }
}

/// The parts of a path; joining an absolute one's first part begins anew.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter(|part| *part != Component::CurDir).map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_of_a_watched_file_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = folder.join("a.yaml");
        fs::write(&path, "").unwrap();
        let interest = Interest::in_paths(std::slice::from_ref(&path));
        assert!(interest.folders().contains(&folder));
        assert!(interest.concerns(&[path]));
        assert!(!interest.concerns(&[folder.join("audit.jsonl")]));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_in_a_circle_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::os::unix::fs::symlink(&one, &other).unwrap();
        std::os::unix::fs::symlink(&other, &one).unwrap();
        let interest = Interest::in_paths(std::slice::from_ref(&one));
        assert!(interest.concerns(&[one]) && interest.concerns(&[other]));
    }
}
