//! `portcullis schema`

use clap::ValueEnum;

use super::output::{Answer, Exit};
use crate::config;

/// A file that has a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SchemaOf {
    /// The configuration file.
    Config,
    /// A policy file.
    Policy,
}

/// Prints the schema.
pub(super) fn run(of: SchemaOf) -> Answer {
    let schema = match of {
        SchemaOf::Config => config::schema(),
        SchemaOf::Policy => portcullis_policies::schema(),
    };
    Answer::json(&schema, Exit::Ok)
}
