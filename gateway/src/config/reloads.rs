//! The configuration again, each time it has become another one.

use std::io;
use std::path::PathBuf;

use portcullis_policies::yaml::Fault;

use super::Config;
use super::load::{Loaded, load};
use super::secret::process_environment;
use crate::reload::Changes;

/// What a configuration file comes to whenever it, or a file it names, has
/// changed or SIGHUP came.
#[derive(Debug)]
pub struct Reloads {
    path: PathBuf,
    changes: Changes,
    watched: Vec<PathBuf>,
    last: Seen,
    /// Something may have changed since the file was read.
    stale: bool,
    /// Something did, or SIGHUP came.
    noticed: bool,
}

/// Tells one outcome from another.
#[derive(Debug, PartialEq)]
struct Seen {
    fingerprint: [u8; 32],
    /// Not all that can be wrong lies in files that are read, so that the same
    /// files may have other faults.
    faults: Option<Vec<Fault>>,
}

// === impl Reloads ===

impl Reloads {
    /// Follows the file at `path`, which `config` was loaded from. Changes since
    /// then count. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// Where SIGHUP cannot be caught.
    pub fn of(path: PathBuf, config: &Config) -> io::Result<Self> {
        Ok(Self {
            path,
            changes: Changes::watch(&config.watched)?,
            watched: config.watched.clone(),
            last: Seen { fingerprint: config.fingerprint, faults: None },
            stale: true,
            noticed: false,
        })
    }

    /// Waits for the next outcome that differs from the last one, or after a
    /// change is as good while there is something to `try_again`. Nothing is
    /// lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Every fault, where the files have changed to something that cannot be
    /// used. The configuration in force had better stay then.
    pub async fn next(&mut self, try_again: impl Fn() -> bool) -> Result<Config, Vec<Fault>> {
        loop {
            if !self.stale {
                self.changes.next().await;
                (self.stale, self.noticed) = (true, true);
            }
            // First watch, then read: so nothing happens in between.
            self.changes.follow(&self.watched);
            let path = self.path.clone();
            let reading = tokio::task::spawn_blocking(move || load(&path, &process_environment, false));
            let Ok(loaded) = reading.await else {
                // The runtime is shutting down.
                std::future::pending::<()>().await;
                continue;
            };
            // What is in new places was not watched while it was read.
            self.stale = self.changes.follow(&loaded.watched);
            self.watched = loaded.watched.clone();
            let differs = self.last.gives_way_to(&loaded);
            let is_told = !self.stale && std::mem::take(&mut self.noticed);
            if differs || is_told && loaded.outcome.is_ok() && try_again() {
                return loaded.outcome;
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Takes the place of what was seen last, if it is something else.
    fn gives_way_to(&mut self, loaded: &Loaded) -> bool {
        let seen = Self { fingerprint: loaded.fingerprint, faults: loaded.outcome.as_ref().err().cloned() };
        let differs = *self != seen;
        *self = seen;
        differs
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    async fn next(reloads: &mut Reloads) -> Result<Config, Vec<Fault>> {
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, reloads.next(|| false)).await.expect("the change is seen")
    }

    fn follow(path: &Path) -> Reloads {
        Reloads::of(path.to_owned(), &Config::load(path).unwrap()).unwrap()
    }

    fn listening_on(port: u16) -> String {
        format!("listen: 127.0.0.1:{port}\n")
    }

    #[test]
    fn the_same_content_or_the_same_faults_are_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        let mut last = Seen { fingerprint: [0; 32], faults: None };
        let mut changed = |content: &str| {
            fs::write(&path, content).unwrap();
            last.gives_way_to(&load(&path, &process_environment, false))
        };
        assert!(changed(&listening_on(1)));
        assert!(!changed(&listening_on(1)));
        assert!(changed(&listening_on(2)));
        // Nothing that is read tells whether this folder is there.
        let upstream = "upstreams: {a: {command: a, cwd: later}}";
        assert!(changed(upstream));
        assert!(!changed(upstream));
        fs::create_dir(folder.path().join("later")).unwrap();
        assert!(changed(upstream), "the same file has no fault now");
    }

    #[tokio::test]
    async fn another_content_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        fs::write(&path, listening_on(1)).unwrap();
        let mut reloads = follow(&path);
        fs::write(&path, listening_on(2)).unwrap();
        assert_eq!(next(&mut reloads).await.unwrap().listen.port(), 2);
    }

    #[tokio::test]
    async fn the_same_content_is_taken_again_where_there_is_something_to_try_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        fs::write(&path, listening_on(1)).unwrap();
        let mut reloads = follow(&path);
        let asked = std::cell::Cell::new(0);
        {
            let mut next = std::pin::pin!(reloads.next(|| {
                asked.set(asked.get() + 1);
                asked.get() > 1
            }));
            for _ in 0..2 {
                let before = asked.get();
                while asked.get() == before {
                    fs::write(&path, listening_on(1)).unwrap();
                    let step = Duration::from_millis(500);
                    if let Ok(outcome) = tokio::time::timeout(step, next.as_mut()).await {
                        assert_eq!((asked.get(), outcome.unwrap().listen.port()), (2, 1));
                        break;
                    }
                }
            }
        }
        assert_eq!(asked.get(), 2, "only where something was noticed");
    }

    #[tokio::test]
    async fn a_change_before_the_watch_began_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        fs::write(&path, listening_on(1)).unwrap();
        let config = Config::load(&path).unwrap();
        fs::write(&path, listening_on(2)).unwrap();
        let mut reloads = Reloads::of(path, &config).unwrap();
        assert_eq!(next(&mut reloads).await.unwrap().listen.port(), 2);
    }

    #[tokio::test]
    async fn faults_are_reported_and_so_is_the_recovery() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        fs::write(&path, listening_on(1)).unwrap();
        let mut reloads = follow(&path);
        fs::write(&path, "lisen: 1\n").unwrap();
        let faults = next(&mut reloads).await.unwrap_err();
        assert_eq!(faults[0].suggestion.as_deref(), Some("listen"));
        // The same as before the fault, yet not the same as the last outcome.
        fs::write(&path, listening_on(1)).unwrap();
        assert_eq!(next(&mut reloads).await.unwrap().listen.port(), 1);
    }

    #[tokio::test]
    async fn a_policy_file_that_comes_into_a_named_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        let policies = folder.path().join("policies");
        let policy = |name: &str| format!("policies:\n  - name: {name}\n    tools: {{allow: [\"*\"]}}\n");
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("a.yaml"), policy("a")).unwrap();
        fs::write(&path, "policies: [policies/*.yaml]\n").unwrap();
        let mut reloads = follow(&path);
        fs::write(policies.join("b.yaml"), policy("b")).unwrap();
        let mut names: Vec<String> = Vec::new();
        // The new file may be seen empty first.
        while names.len() < 2 {
            if let Ok(config) = next(&mut reloads).await {
                names = config.policies.names().map(str::to_owned).collect();
            }
        }
        assert_eq!(names, ["a", "b"]);
    }
}
