//! Notices that files have changed, or that the operator says so (SIGHUP).
//!
//! Folders are watched, never files: editors replace a file by renaming another
//! over it, and a mounted Kubernetes ConfigMap changes by swapping a symbolic
//! link further up. What a change comes to is for the caller to find out.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::interest::Interest;

mod interest;

/// A change is reported when nothing has happened for so long, because one
/// save is many events.
const QUIET: Duration = Duration::from_millis(200);
/// It is reported by then at the latest, though events never cease.
const PATIENCE: Duration = Duration::from_secs(2);

/// Changes to a set of files and folders.
#[derive(Debug)]
pub struct Changes {
    /// None where the system has none to give: SIGHUP still works then.
    watcher: Option<RecommendedWatcher>,
    interest: Arc<Mutex<Interest>>,
    stirred: Arc<Notify>,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

// === impl Changes ===

impl Changes {
    /// Watches `paths`: the content of files, there or not, and what comes and
    /// goes in folders. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// Where SIGHUP cannot be caught. Files that cannot be watched are logged.
    pub fn watch(paths: &[PathBuf]) -> io::Result<Self> {
        let interest = Arc::new(Mutex::new(Interest::default()));
        let stirred = Arc::new(Notify::new());
        let watcher = notify::recommended_watcher({
            let (interest, stirred) = (Arc::clone(&interest), Arc::clone(&stirred));
            move |event: notify::Result<Event>| {
                let concerns = match &event {
                    Ok(event) => {
                        let interest = interest.lock().unwrap_or_else(PoisonError::into_inner);
                        is_change(event) && (event.need_rescan() || interest.concerns(&event.paths))
                    }
                    // Something was lost: it may have been a change.
                    Err(_) => true,
                };
                if concerns {
                    stirred.notify_one();
                }
            }
        });
        let watcher = watcher
            .inspect_err(|error| warn!(%error, "files cannot be watched, only SIGHUP reloads the configuration"))
            .ok();
        let mut changes = Self {
            watcher,
            interest,
            stirred,
            #[cfg(unix)]
            hangup: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        };
        changes.follow(paths);
        Ok(changes)
    }

    /// Watches `paths` from now on, and nothing else. To be called again with
    /// the same paths after a change, because what they lead to may be other
    /// folders now. Says whether it is other folders.
    pub fn follow(&mut self, paths: &[PathBuf]) -> bool {
        let new = Interest::in_paths(paths);
        let old = {
            let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *interest, new.clone())
        };
        let Some(watcher) = &mut self.watcher else { return false };
        for folder in old.folders().difference(new.folders()) {
            // Where the folder is gone, so is the watch.
            let _ = watcher.unwatch(folder);
        }
        for folder in new.folders() {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                warn!(folder = %folder.display(), %error, "a folder cannot be watched");
            }
        }
        old != new
    }

    /// Waits for the next change. Nothing that happens between two calls is
    /// missed. Dropping the future loses at most that the change was noticed.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            () = self.stirred.notified() => settled(&self.stirred).await,
            _ = self.hangup.recv() => {}
        }
        #[cfg(not(unix))]
        {
            self.stirred.notified().await;
            settled(&self.stirred).await;
        }
    }
}

/// Waits until events cease, within reason.
async fn settled(stirred: &Notify) {
    let latest = Instant::now() + PATIENCE;
    loop {
        let until = latest.min(Instant::now() + QUIET);
        if timeout_at(until, stirred.notified()).await.is_err() {
            return;
        }
    }
}

/// Whether something was written. Reading is an event too, and ours would
/// never end.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    async fn noticed(changes: &mut Changes) {
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, changes.next()).await.expect("the change is noticed");
    }

    fn watch(path: &Path) -> Changes {
        Changes::watch(&[path.to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn a_file_that_is_written_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "1").unwrap();
        let mut changes = watch(&path);
        fs::write(&path, "2").unwrap();
        noticed(&mut changes).await;
    }

    #[tokio::test]
    async fn a_file_that_another_is_renamed_over_is_noticed_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "1").unwrap();
        let mut changes = watch(&path);
        for content in ["2", "3"] {
            let other = folder.path().join("a.yaml.new");
            fs::write(&other, content).unwrap();
            fs::rename(&other, &path).unwrap();
            noticed(&mut changes).await;
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_swapped_link_of_a_mounted_config_map_is_noticed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path();
        for version in ["..1", "..2"] {
            fs::create_dir(mount.join(version)).unwrap();
            fs::write(mount.join(version).join("a.yaml"), version).unwrap();
        }
        symlink("..1", mount.join("..data")).unwrap();
        symlink("..data/a.yaml", mount.join("a.yaml")).unwrap();
        let path = mount.join("a.yaml");
        let mut changes = watch(&path);

        symlink("..2", mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        noticed(&mut changes).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "..2");
        assert!(changes.follow(&[path]), "the link leads to another folder now");
    }

    #[tokio::test]
    async fn a_file_that_comes_later_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/a.yaml");
        let mut changes = watch(&path);
        fs::create_dir(folder.path().join("later")).unwrap();
        noticed(&mut changes).await;
        changes.follow(std::slice::from_ref(&path));
        fs::write(&path, "1").unwrap();
        noticed(&mut changes).await;
    }

    #[tokio::test]
    async fn a_file_that_comes_into_a_watched_folder_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = watch(folder.path());
        fs::write(folder.path().join("b.yaml"), "1").unwrap();
        noticed(&mut changes).await;
    }

    #[test]
    fn reading_is_no_change() {
        let opened = Event::new(EventKind::Access(AccessKind::Open(AccessMode::Read)));
        let written = Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write)));
        assert!(!is_change(&opened));
        assert!(is_change(&written));
    }

    #[tokio::test(start_paused = true)]
    async fn one_save_of_many_events_is_one_change() {
        let stirred = Notify::new();
        let begin = Instant::now();
        let events = async {
            for _ in 0..3 {
                tokio::time::sleep(QUIET / 2).await;
                stirred.notify_one();
            }
        };
        tokio::join!(settled(&stirred), events);
        assert_eq!(begin.elapsed(), QUIET / 2 * 3 + QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_never_cease_do_not_hold_a_change_back() {
        let stirred = Notify::new();
        let begin = Instant::now();
        let events = async {
            loop {
                tokio::time::sleep(QUIET / 2).await;
                stirred.notify_one();
            }
        };
        tokio::select! {
            () = settled(&stirred) => {}
            () = events => {}
        }
        assert_eq!(begin.elapsed(), PATIENCE);
    }
}
