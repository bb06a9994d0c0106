//! The MCP servers behind us.

use std::collections::HashSet;
use std::sync::Arc;

use portcullis_policies::document::LimitEntry;
use portcullis_policies::{Glob, Globs, Limit};

use super::check::Check;
use super::file::ConfigFile;
use super::file::upstream::{RetryFile, ToolsFile, UpstreamFile};
use super::listening::positive;
use super::place::Place;
use super::transport::transport;
use crate::backends::settings::{RetrySettings, ToolSelection, UpstreamSettings};
use crate::backends::uri::label;

/// Longest name of an upstream, in characters.
const MAX_NAME: usize = 32;

/// `naming.separator`, `upstreams` and `mcpServers`, with the limits that
/// upstreams state.
pub(super) fn upstreams(check: &mut Check<'_>, file: &ConfigFile) -> (Vec<UpstreamSettings>, Vec<(Arc<str>, Limit)>) {
    let separator = &file.naming.separator;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if separator.is_empty() || separator.len() > 8 || !separator.chars().all(fits) {
        check.fault(
            &Place::root("naming").key("separator"),
            "must be one to eight of the characters that tool names have: letters, digits, `_`, `-` and `.`",
        );
    }
    let sections = [("upstreams", &file.upstreams), ("mcpServers", &file.mcp_servers)];
    let (mut settings, mut limits, mut names, mut labels) = (Vec::new(), Vec::new(), HashSet::new(), HashSet::new());
    for (section, entries) in sections {
        for (name, entry) in entries.iter() {
            let place = Place::root(section).key(name);
            check_name(check, &place, name, separator);
            if !names.insert(name) {
                check.fault(&place, format!("`{name}` stands under `upstreams` already"));
            } else if !labels.insert(label(name)) {
                check.fault(
                    &place,
                    format!("`{name}` and another upstream differ in case alone, which URIs do not know"),
                );
            }
            // What is switched off may be incomplete: its program need not be
            // installed, nor its secrets be there.
            if !entry.disabled {
                let name: Arc<str> = name.into();
                limits.extend(rate_limits(&name, &entry.rate_limits));
                settings.extend(upstream(check, &place, &name, entry, file));
            }
        }
    }
    (settings, limits)
}

fn check_name(check: &mut Check<'_>, place: &Place, name: &str, separator: &str) {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.len() > MAX_NAME {
        let message = format!(
            "`{name}` is not a name for an upstream: begin with a letter and go on with letters, digits, \
             `_` and `-`, {MAX_NAME} at most"
        );
        check.fault(place, message);
    } else if !separator.is_empty() && format!("{name}{separator}").find(separator) != Some(name.len()) {
        // Where a tool's name is taken apart, the first separator counts.
        let message = format!(
            "`{name}` cannot be told from a tool's name: it must neither hold `{separator}` nor end with its beginning"
        );
        check.fault(place, message);
    }
}

fn upstream(
    check: &mut Check<'_>,
    place: &Place,
    name: &Arc<str>,
    file: &UpstreamFile,
    whole: &ConfigFile,
) -> Option<UpstreamSettings> {
    positive(check, &place.key("timeout"), file.timeout.0);
    for (key, pasted) in [("autoApprove", &file.auto_approve), ("alwaysAllow", &file.always_allow)] {
        if pasted.is_some() {
            check.warn(&place.key(key), "means nothing here: policies say who may call what");
        }
    }
    let retry = retry(check, &place.key("retry"), &file.retry);
    let tools = selection(check, &place.key("tools"), &file.tools);
    let sampling = file.sampling.as_ref().map(|sampling| sampling.answer_with.as_str());
    if let Some(model) = sampling.filter(|model| whole.models.iter().all(|(name, _)| name != *model)) {
        check.fault(&place.key("sampling").key("answerWith"), format!("there is no `{model}` under `models`"));
    }
    Some(UpstreamSettings {
        name: Arc::clone(name),
        transport: transport(check, place, file)?,
        timeout: file.timeout.0,
        retry,
        tools,
        sampling: sampling.map(Arc::from),
    })
}

fn retry(check: &mut Check<'_>, place: &Place, file: &RetryFile) -> RetrySettings {
    positive(check, &place.key("initial"), file.initial.0);
    positive(check, &place.key("max"), file.max.0);
    if file.initial.0 > file.max.0 {
        check.fault(&place.key("max"), "must not be shorter than `initial`");
    }
    RetrySettings { max_attempts: file.max_attempts.get(), initial: file.initial.0, max: file.max.0 }
}

fn selection(check: &mut Check<'_>, place: &Place, file: &ToolsFile) -> ToolSelection {
    let mut shown = HashSet::new();
    for (from, to) in &file.rename {
        let place = place.key("rename").key(from);
        // MCP 2025-11-25, server/tools, tool names.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if to.is_empty() || to.len() > 64 || !to.chars().all(fits) {
            check.fault(&place, "a tool's name is 1 to 64 letters, digits, `_`, `-` and `.`");
        }
        if !shown.insert(to) {
            check.fault(&place, format!("another tool is called `{to}` already"));
        }
    }
    let text = |globs: &[Glob]| globs.iter().map(|glob| glob.as_str().to_owned()).collect();
    ToolSelection { include: text(&file.include), exclude: text(&file.exclude), rename: file.rename.clone() }
}

/// The limits bear the name `upstream NAME` where a policy's would bear its own.
fn rate_limits<'a>(name: &'a Arc<str>, entries: &'a [LimitEntry]) -> impl Iterator<Item = (Arc<str>, Limit)> + use<'a> {
    entries.iter().map(move |entry| {
        let every = || vec!["*".parse().expect("`*` is a pattern")];
        let tools = Globs::new(entry.tools.clone().unwrap_or_else(every));
        let limit = Limit::new(format!("upstream {name}"), tools, entry.limit, entry.burst, entry.per);
        (Arc::clone(name), limit)
    })
}
