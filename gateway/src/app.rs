//! The composition root: the only file that knows every part.
//!
//! A configuration becomes a `Generation`: a stack and the backends behind
//! it. A reload builds the next one and swaps it in whole; what did not change
//! (upstreams with their connections and processes, models as they are loaded,
//! quotas, sessions, key sets) is carried over.

mod assembly;
mod generation;
mod live;
mod models;
mod process;
mod replication;
mod stdio;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use self::assembly::Assembly;
use self::process::run;
use crate::config::{Config, Source, is_error};
use crate::secret::Secret;
use crate::telemetry::Telemetry;

/// Exit code for a configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

/// Where clients come in.
#[derive(Clone, Debug)]
pub enum Front {
    /// At the addresses of the configuration.
    Listeners,
    /// One client, which started this process: over standard input and output.
    Stdio {
        /// Its API key or token, if it has one.
        key: Option<Secret<String>>,
    },
}

/// Runs the gateway until it is told to end.
///
/// # Errors
///
/// If the process cannot get what it needs: an address, a runtime, a file.
pub fn serve(source: Source, front: Front) -> anyhow::Result<ExitCode> {
    let config = match &source {
        Source::BuiltIn { key, .. } => Config::built_in(key.sha256),
        Source::File(path) => match Config::load(path) {
            Ok(config) => config,
            Err(faults) => {
                let mut out = std::io::stderr().lock();
                for fault in &faults {
                    let grade = if is_error(fault) { "" } else { "warning: " };
                    // Nobody may be there to read it.
                    let _ = writeln!(out, "{grade}{fault}");
                }
                return Ok(ExitCode::from(BAD_CONFIGURATION));
            }
        },
    };
    let beyond = models::beyond_this_machine(&config.models);
    if !beyond.is_empty() {
        let mut out = std::io::stderr().lock();
        for line in &beyond {
            // Nobody may be there to read it.
            let _ = writeln!(out, "{line}");
        }
        return Ok(ExitCode::from(BAD_CONFIGURATION));
    }
    let telemetry = Telemetry::install(config.log).context("the log cannot be set up")?;
    // The one provider there is; a second call finds the first in place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for warning in &config.warnings {
        tracing::warn!(fault = %warning, "questionable configuration");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")?;
    let assembly = Arc::new(Assembly::new(telemetry.access_log())?);
    let ended = match front {
        Front::Listeners => runtime.block_on(run(assembly, config, source)),
        Front::Stdio { key } => runtime.block_on(stdio::run(assembly, config, source, key)),
    };
    // Tasks that do not end by themselves end here.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    drop(telemetry);
    ended.map(|()| ExitCode::SUCCESS)
}
