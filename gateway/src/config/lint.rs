//! What a configuration may say but hardly means, beyond what one file shows.

use std::collections::BTreeSet;

use portcullis_policies::document::PolicyFile;
use portcullis_policies::yaml::Document;
use portcullis_policies::{Glob, Surroundings};

use super::Config;
use super::check::Check;
use super::file::ConfigFile;
use super::place::Place;
use super::written::Scalar;
use crate::backends::settings::UpstreamSettings;

/// Holds policies and configuration against each other.
pub(super) fn lint(check: &mut Check<'_>, file: &ConfigFile, config: &Config, policies: &[Document]) {
    let upstreams = config.upstreams.as_slice();
    if check.failed() {
        // What is at fault is missing here, and nobody had better wonder why.
        check.add(portcullis_policies::lint(policies, &Surroundings::default()));
        return;
    }
    let names = upstreams.iter().map(|upstream| upstream.name.to_string());
    let surroundings = Surroundings {
        separator: file.naming.separator.clone(),
        upstreams: Some(names.collect()),
        models: Some(config.models.iter().map(|model| model.name.to_string()).collect()),
        roles: roles(file),
        principals: Some(principals(file)),
    };
    check.add(portcullis_policies::lint(policies, &surroundings));
    unreached(check, file, config, policies);
    impatient(check, file, upstreams);
}

/// The roles that some credential gives; `None` where tokens bring their own.
fn roles(file: &ConfigFile) -> Option<Vec<String>> {
    let auth = &file.auth;
    if auth.jwt.iter().any(|issuer| issuer.roles_claim.is_some()) {
        return None;
    }
    let anonymous = auth.anonymous.iter().flat_map(|anonymous| &anonymous.roles);
    let keys = auth.api_keys.iter().flat_map(|keys| &keys.keys).flat_map(|key| &key.roles);
    Some(anonymous.chain(keys).cloned().collect::<BTreeSet<_>>().into_iter().collect())
}

/// The names that credentials give their holders.
fn principals(file: &ConfigFile) -> Vec<String> {
    let auth = &file.auth;
    let keys = auth.api_keys.iter().flat_map(|keys| &keys.keys).map(|key| format!("apiKey:{}", key.name));
    let issuers = auth.jwt.iter().map(|jwt| format!("jwt:{}#", jwt.issuer));
    keys.chain(issuers).chain(auth.anonymous.iter().map(|_| "anonymous".to_owned())).collect()
}

/// Upstreams of which no policy allows a tool, and models that none allows.
fn unreached(check: &mut Check<'_>, file: &ConfigFile, config: &Config, policies: &[Document]) {
    let files = policies.iter().flat_map(|document| document.decode::<PolicyFile>(&portcullis_policies::formats()));
    let allowed: Vec<Glob> = files.flat_map(|file| file.policies).flat_map(|policy| policy.tools.allow).collect();
    if allowed.is_empty() {
        return;
    }
    for upstream in &config.upstreams {
        let prefix = format!("{}{}", upstream.name, file.naming.separator);
        if !allowed.iter().any(|glob| may_reach(glob.as_str(), &prefix)) {
            let message = format!("no policy allows any tool of it: one would name `{prefix}*`");
            check.warn(&place(file, upstream), message);
        }
    }
    for model in &config.models {
        if !allowed.iter().any(|glob| glob.matches(&model.name)) {
            let message = format!("no policy allows it: one would name `{}`", model.name);
            check.warn(&Place::root("models").key(&model.name), message);
        }
    }
}

/// Upstreams that are given more time than a request has.
fn impatient(check: &mut Check<'_>, file: &ConfigFile, upstreams: &[UpstreamSettings]) {
    let request = &file.limits.request_timeout.0;
    for upstream in upstreams.iter().filter(|upstream| upstream.timeout > *request) {
        let place = place(file, upstream).key("timeout");
        if check.is_written(&place) {
            let end = request.write();
            check.warn(&place, format!("is never reached: a request ends after {end}, see limits.requestTimeout"));
        }
    }
}

fn place(file: &ConfigFile, upstream: &UpstreamSettings) -> Place {
    let pasted = file.mcp_servers.iter().any(|(name, _)| *name == *upstream.name);
    Place::root(if pasted { "mcpServers" } else { "upstreams" }).key(&upstream.name)
}

/// Whether a name that begins with `prefix` may fit `glob`.
fn may_reach(glob: &str, prefix: &str) -> bool {
    match glob.split_once(['*', '?']) {
        Some((fixed, _)) => fixed.starts_with(prefix) || prefix.starts_with(fixed),
        None => glob.starts_with(prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_reaches_an_upstream_whose_prefix_it_may_begin_with() {
        for (glob, reaches) in [
            ("crm__search", true),
            ("crm__*", true),
            ("*", true),
            ("c*", true),
            ("*__search", true),
            ("crm2__*", false),
            ("files__*", false),
            ("chat", false),
        ] {
            assert_eq!(may_reach(glob, "crm__"), reaches, "{glob}");
        }
    }
}
