//! `portcullis serve`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::banner::banner;
use crate::app;
use crate::config::{NewKey, Source};

/// Runs the gateway until it is told to end.
pub(super) fn run(file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let source = match file {
        Some(path) => Source::File(path),
        None => Source::BuiltIn { key: NewKey::generate().context("no random numbers for a key")?, banner },
    };
    app::serve(source)
}
