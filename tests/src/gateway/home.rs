//! The directory a gateway runs in, and the configuration most tests share.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use tempfile::TempDir;

use super::Gateway;

/// The API key that [`standard`] knows, as the principal `apiKey:tester` with the role `tester`.
pub const KEY: &str = "tests-0123456789abcdef0123456789abcdef";

/// Lets the role `tester` call, get and read everything.
const ALLOW_EVERYTHING: &str = "\
policies:
  - name: everything
    subjects: {roles: [tester]}
    tools: {allow: [\"*\"]}
    prompts: {allow: [\"*\"]}
    resources: {allow: [\"*\"]}
";

/// A temporary directory with a gateway's files.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
}

// === impl Home ===

impl Home {
    /// A directory without any file.
    ///
    /// # Panics
    ///
    /// When there is no temporary directory.
    pub fn empty() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    /// A directory whose policies let the role `tester` call everything.
    pub fn open() -> Self {
        Self::with_policies(ALLOW_EVERYTHING)
    }

    /// A directory with these policies.
    pub fn with_policies(policies: &str) -> Self {
        let home = Self::empty();
        home.write("policies/policies.yaml", policies);
        home
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file's path.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, replacing it in one step as a careful editor does.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) {
        let target = self.file(name);
        std::fs::create_dir_all(target.parent().expect("a file in the directory")).expect("a directory");
        let draft = target.with_extension("draft");
        std::fs::write(&draft, content).expect("a draft");
        std::fs::rename(draft, target).expect("a replaced file");
    }

    /// Writes `portcullis.yaml`, with free ports of loopback where it names none.
    pub fn configure(&self, config: &str) {
        let defaults = [
            ("listen", "listen: 127.0.0.1:0"),
            ("admin", "admin: {listen: 127.0.0.1:0}"),
            ("limits", "limits: {drainTimeout: 1s}"),
        ];
        let mut text = String::new();
        for (key, line) in defaults {
            if !config.lines().any(|own| own.starts_with(&format!("{key}:"))) {
                text.push_str(&format!("{line}\n"));
            }
        }
        self.write("portcullis.yaml", &(text + config));
    }

    /// Starts a gateway with this configuration and waits until it is ready.
    pub fn serve(self, config: &str) -> Gateway {
        self.configure(config);
        Gateway::start(self).wait_until_ready()
    }
}

/// The configuration of the standard key and policies, of these upstreams (name,
/// entry) and whatever else.
pub fn standard(upstreams: &[(&str, &str)], more: &str) -> String {
    let mut config = String::new();
    if !more.lines().any(|line| line.starts_with("auth:")) {
        config.push_str(&format!(
            "auth:\n  apiKeys:\n    keys:\n      - {{name: tester, sha256: \"{}\", roles: [tester]}}\n",
            sha256(KEY)
        ));
    }
    config.push_str("policies: [policies/*.yaml]\n");
    if !upstreams.is_empty() {
        config.push_str("upstreams:\n");
    }
    for (name, entry) in upstreams {
        config.push_str(&format!("  {name}: {entry}\n"));
    }
    config + more + "\n"
}

/// The SHA-256 of a key as the configuration holds it.
pub fn sha256(key: &str) -> String {
    digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
