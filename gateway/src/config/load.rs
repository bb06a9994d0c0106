//! From a file to a configuration that cannot be wrong, or to all its faults.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_policies::yaml::{Document, Fault, Salvage, Severity};
use tracing::level_filters::LevelFilter;

use super::Config;
use super::authentication::authentication;
use super::check::{Check, Files};
use super::file::{AuditFile, ConfigFile, LogFile, LogFormatFile, LogLevelFile};
use super::lint::lint;
use super::listening;
use super::models::models;
use super::place::Place;
use super::policy_files;
use super::replicas::replicas;
use super::secret::{Environment, process_environment};
use super::sessions;
use super::upstreams::upstreams;
use super::written::{Written, formats};
use crate::audit::AuditSettings;
use crate::telemetry::{LogFormat, LogSettings};

/// One reading of a configuration file.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) outcome: Result<Config, Vec<Fault>>,
    /// What to watch for the outcome to become another one.
    pub(super) watched: Vec<PathBuf>,
    /// A digest of everything that was read: while it is the same, so is the
    /// outcome.
    pub(super) fingerprint: [u8; 32],
}

/// Where the policies come from.
pub(super) enum Policies {
    /// The files that the configuration names.
    Named,
    /// These.
    Given(Vec<Document>),
}

// === impl Config ===

impl Config {
    /// Reads a configuration file and the policy files it names.
    ///
    /// # Errors
    ///
    /// Every fault in all of them, with its place; nothing is left out because
    /// something else was found first, save that a file which is not readable
    /// as YAML is not looked at any further.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        load(path, &process_environment, false).outcome
    }

    /// Like [`Config::load`], with a closer look at what is hardly meant: rules
    /// that cannot match, upstreams that nobody may call.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn check(path: &Path) -> Result<Self, Vec<Fault>> {
        load(path, &process_environment, true).outcome
    }
}

/// Reads the file at `path`.
pub(super) fn load(path: &Path, environment: Environment<'_>, linting: bool) -> Loaded {
    let name = path.display().to_string();
    let mut files = Files::new();
    let text = files.read(path).and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    let document = match text {
        Ok(text) => Document::parse_leniently(&text, name.as_str()),
        Err(error) => Err(vec![policy_files::unreadable(&name, &error)]),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let outcome =
        document.and_then(|document| build(&document, folder, environment, &mut files, Policies::Named, linting));
    let (watched, fingerprint) = files.finish();
    Loaded {
        outcome: outcome.map(|config| Config { watched: watched.clone(), fingerprint, ..config }),
        watched,
        fingerprint,
    }
}

/// Makes a configuration of a document.
pub(super) fn build(
    document: &Document,
    folder: &Path,
    environment: Environment<'_>,
    files: &mut Files,
    policies: Policies,
    linting: bool,
) -> Result<Config, Vec<Fault>> {
    let Salvage { value, faults, stand_ins } = document.salvage::<ConfigFile>(&formats());
    let mut check = Check::new(document, stand_ins, folder, environment, files);
    // With one fault added no configuration comes out; the others are looked for.
    check.add(faults);
    let Some(file) = value else { return Err(check.finish()) };
    let policies = match policies {
        Policies::Given(documents) => documents,
        Policies::Named => policy_files::read(&mut check, &file.policies),
    };
    let policy_set = policy_files::compile(&mut check, &policies);
    let (listen, admin_listen) = listening::listeners(&mut check, &file);
    let public_url = listening::public_url(&mut check, file.public_url.as_ref());
    let auth = authentication(&mut check, &file.auth, &listening::endpoints(&file, public_url.as_ref()));
    let (upstreams, upstream_limits) = upstreams(&mut check, &file);
    let models = models(&mut check, &file);
    let config = Config {
        listen,
        admin_listen,
        tls: file.tls.as_ref().and_then(|tls| listening::tls(&mut check, tls)),
        allowed_origins: file.allowed_origins.iter().map(|Written(origin)| origin.clone()).collect(),
        network: listening::network(&file.network),
        limits: listening::limits(&mut check, &file.limits),
        auth,
        session_keys: sessions::keys(&mut check, &file.sessions),
        replicas: file.replicas.as_ref().and_then(|replicas| self::replicas(&mut check, &file, replicas)),
        policies: Arc::new(policy_set.unwrap_or_default()),
        upstream_limits,
        separator: file.naming.separator.clone(),
        log: log(&file.telemetry.log),
        audit: file.telemetry.audit.as_ref().map(|audit| self::audit(&mut check, audit)),
        warnings: Vec::new(),
        watched: Vec::new(),
        fingerprint: [0; 32],
        public_url,
        upstreams,
        models,
    };
    if linting {
        lint(&mut check, &file, &config, &policies);
    }
    let failed = check.failed();
    let found = check.finish();
    if failed { Err(found) } else { Ok(Config { warnings: found, ..config }) }
}

fn log(file: &LogFile) -> LogSettings {
    LogSettings {
        format: match file.format {
            LogFormatFile::Json => LogFormat::Json,
            LogFormatFile::Text => LogFormat::Text,
        },
        level: match file.level {
            LogLevelFile::Off => LevelFilter::OFF,
            LogLevelFile::Error => LevelFilter::ERROR,
            LogLevelFile::Warn => LevelFilter::WARN,
            LogLevelFile::Info => LevelFilter::INFO,
            LogLevelFile::Debug => LevelFilter::DEBUG,
            LogLevelFile::Trace => LevelFilter::TRACE,
        },
    }
}

fn audit(check: &mut Check<'_>, file: &AuditFile) -> AuditSettings {
    let path = check.path(&file.file);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() || !folder.is_dir() {
        let wrong = if path.is_dir() { "is a folder" } else { "lies in a folder that does not exist" };
        check.fault(&Place::root("telemetry").key("audit").key("file"), format!("`{}` {wrong}", path.display()));
    }
    AuditSettings { file: path, include_arguments: file.arguments }
}

/// Whether a fault keeps the configuration from being used.
#[must_use]
pub fn is_error(fault: &Fault) -> bool {
    fault.severity == Severity::Error
}
