//! From policy files to policies that can be asked.
//!
//! Everything that can be wrong is found here, all of it at once, so that
//! deciding has nothing left to check.

#[cfg(test)]
mod tests;

use crate::{
    condition::Condition,
    document::{ClaimEntry, NetworkEntry, PolicyEntry, PolicyFile, RulesEntry, formats},
    limit::Limit,
    network::Network,
    subjects::Subjects,
    tool::{Globs, Target},
    yaml::{Document, Fault, Salvage, member},
};
use std::{collections::HashMap, sync::Arc};

/// A policy as written, turned into what decisions need.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Arc<str>,
    /// None fits every caller.
    pub(crate) subjects: Option<Subjects>,
    pub(crate) network: Option<Network>,
    pub(crate) condition: Option<Condition>,
    pub(crate) limits: Vec<Arc<Limit>>,
    tools: Rules,
    resources: Rules,
    prompts: Rules,
}

/// What is allowed and denied of one kind of target.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) allow: Globs,
    pub(crate) deny: Globs,
}

/// Compiles the policies of all files.
///
/// # Errors
///
/// Every fault in every file.
pub(crate) fn compile(documents: &[Document]) -> Result<Vec<Policy>, Vec<Fault>> {
    let formats = formats();
    let mut policies = Vec::new();
    let mut faults = Vec::new();
    let mut names: HashMap<String, &str> = HashMap::new();
    for document in documents {
        let Salvage { value, faults: misfits, stand_ins } = document.salvage::<PolicyFile>(&formats);
        faults.extend(misfits);
        let mut found = Vec::new();
        for (index, entry) in value.into_iter().flat_map(|file| file.policies).enumerate() {
            let at = format!("/policies/{index}");
            if let Some(elsewhere) = names.insert(entry.name.clone(), document.file()) {
                let message = format!("`{}` is already in {elsewhere}", entry.name);
                found.push(document.fault_at(&format!("{at}/name"), message));
            }
            policies.extend(policy(entry, document, &at, &mut found));
        }
        faults.extend(found.into_iter().filter(|fault| !stand_ins.explain(fault)));
    }
    if faults.is_empty() { Ok(policies) } else { Err(faults) }
}

fn policy(entry: PolicyEntry, document: &Document, at: &str, faults: &mut Vec<Fault>) -> Option<Policy> {
    let found = faults.len();
    if entry.name.chars().any(char::is_control) {
        let message = "a name holds no control characters";
        faults.push(document.fault_at(&format!("{at}/name"), message));
    }
    if let Some(subjects) = &entry.subjects {
        for (claim, _) in subjects.claims.iter().filter(|(_, entry)| is_empty(entry)) {
            let at = member(&format!("{at}/subjects/claims"), claim);
            faults.push(document.fault_at(&at, "an empty list fits no claim"));
        }
    }
    let subjects = entry.subjects.map(Subjects::new);
    if subjects.as_ref().is_some_and(Subjects::is_empty) {
        let message = "names nobody: leave it out for a policy that is for everybody";
        faults.push(document.fault_at(&format!("{at}/subjects"), message));
    }
    let condition = entry.when.and_then(|source| {
        let compiled = Condition::compile(&source);
        let report = |fault: crate::condition::ConditionFault| {
            document.fault_at(&format!("{at}/when"), fault.message).suggesting(fault.suggestion)
        };
        compiled.map_err(|found| faults.extend(found.into_iter().map(report))).ok()
    });
    let name: Arc<str> = entry.name.into();
    let limits = entry.rate_limits.into_iter().map(|limit| {
        let tools = limit.tools.map_or_else(everything, Globs::new);
        let policy = Arc::clone(&name);
        Arc::new(Limit::new(policy, tools, limit.limit, limit.burst, limit.per))
    });
    let limits = limits.collect();
    (faults.len() == found).then(|| Policy {
        name,
        subjects,
        network: entry.network.map(Network::from),
        condition,
        limits,
        tools: entry.tools.into(),
        resources: entry.resources.into(),
        prompts: entry.prompts.into(),
    })
}

fn is_empty(claim: &ClaimEntry) -> bool {
    matches!(claim, ClaimEntry::AnyOf(values) if values.is_empty())
}

fn everything() -> Globs {
    Globs::new(["*".parse().expect("a star is a pattern")])
}

// === impl Policy ===

impl Policy {
    /// The rules for targets of this kind.
    pub(crate) fn rules(&self, target: Target<'_>) -> &Rules {
        match target {
            Target::Tool(_) => &self.tools,
            Target::Resource(_) => &self.resources,
            Target::Prompt(_) => &self.prompts,
        }
    }

    /// The limits for `target`; only tools have any.
    pub(crate) fn limits_for(&self, target: Target<'_>) -> Vec<Arc<Limit>> {
        let Target::Tool(name) = target else {
            return Vec::new();
        };
        let limits = self.limits.iter();
        limits.filter(|limit| limit.tools().matches(name)).cloned().collect()
    }
}

// === conversions ===

impl From<RulesEntry> for Rules {
    fn from(entry: RulesEntry) -> Self {
        Self { allow: entry.allow.into_iter().collect(), deny: entry.deny.into_iter().collect() }
    }
}

impl From<NetworkEntry> for Network {
    fn from(entry: NetworkEntry) -> Self {
        Self::new(entry.allow.unwrap_or_default(), entry.deny.unwrap_or_default())
    }
}
