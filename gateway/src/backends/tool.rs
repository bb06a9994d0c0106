//! A tool as an upstream defines it, and as we show it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::quality::RandomState;
use globset::{Glob, GlobSet, GlobSetBuilder};
use http::HeaderValue;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::beside::Beside;
use super::settings::ToolSelection;
use crate::mcp::arguments::ArgumentsSchema;
use crate::mcp::json::{Members, quoted};
use crate::mcp::mirror::{self, MirroredParameter};
use crate::mcp::scanner::string;
use crate::mcp::splice::Span;
use crate::mcp::version::Era;

/// Names longer than this are cut: model vendors take no more.
const MAX_NAME_CHARS: usize = 64;

/// One tool.
#[derive(Debug)]
pub struct Tool {
    /// Its full name, `UPSTREAM__TOOL`: what policies, limits and metrics know.
    pub full_name: Arc<str>,
    /// Its name where the path already names the upstream.
    pub short_name: String,
    /// Its name at the upstream, as JSON.
    pub upstream_name: String,
    /// Its name at the upstream, as the header `Mcp-Name`.
    pub upstream_name_header: HeaderValue,
    /// The upstream.
    pub upstream: Arc<str>,
    /// The arguments that a stateless request repeats in headers.
    pub mirrored: Vec<MirroredParameter>,
    /// What its arguments must be.
    pub arguments: ArgumentsSchema,
    /// Whether calls of it may become tasks.
    pub task_support: TaskSupport,
    definition: Definition,
    /// Where the definition has what clients with a handshake do not know.
    legacy_definition: Option<Definition>,
}

/// Whether a tool's calls may become tasks, as servers with a handshake say of
/// it (MCP 2025-11-25, `execution.taskSupport`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskSupport {
    /// They may not.
    #[default]
    Forbidden,
    /// As the client likes.
    Optional,
    /// They must.
    Required,
}

/// A definition as JSON, under both of the tool's names.
#[derive(Debug)]
struct Definition {
    full: String,
    short: String,
}

/// What should define a tool does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tool's definition needs a name and an input schema")]
pub struct NotADefinition;

/// The tools of one upstream.
#[derive(Debug, Default)]
pub struct ToolList {
    /// In the upstream's order.
    pub tools: Vec<Arc<Tool>>,
    /// What the upstream says beside them.
    pub beside: Beside,
    /// Until when it may be shown without asking again, where the upstream says
    /// so (MCP 2026-07-28, "Caching").
    pub until: Option<Instant>,
    by_full_name: HashMap<Arc<str>, usize, RandomState>,
}

/// Turns an upstream's definitions into tools.
#[derive(Debug)]
pub struct ToolNaming {
    upstream: Arc<str>,
    separator: String,
    selection: ToolSelection,
    include: GlobSet,
    exclude: GlobSet,
}

// === impl Tool ===

impl Tool {
    /// Its definition as JSON, for clients of this era, under its short name
    /// where the path already names the upstream.
    #[must_use]
    pub fn definition(&self, era: Era, short: bool) -> &str {
        let definition = self.legacy_definition.as_ref().filter(|_| era == Era::Legacy).unwrap_or(&self.definition);
        if short { &definition.short } else { &definition.full }
    }

    /// A tool of this process that bears no prefix. `definition` is one as
    /// upstreams write them, under the same name.
    ///
    /// # Errors
    ///
    /// If it is no definition, which is a mistake of the caller.
    pub fn unprefixed(name: &Arc<str>, definition: &Value) -> Result<Self, NotADefinition> {
        let text = definition.to_string();
        let schema = definition.get("inputSchema").ok_or(NotADefinition)?;
        Ok(Self {
            full_name: Arc::clone(name),
            short_name: name.to_string(),
            upstream_name: quoted(name),
            upstream_name_header: mirror::encode(name),
            upstream: Arc::clone(name),
            mirrored: Vec::new(),
            arguments: ArgumentsSchema::new(schema.to_string()),
            task_support: TaskSupport::Forbidden,
            definition: Definition::named(&text, name, name).ok_or(NotADefinition)?,
            legacy_definition: None,
        })
    }
}

// === impl TaskSupport ===

impl TaskSupport {
    fn of_execution(execution: &str) -> Self {
        match Members::get(execution, "taskSupport").and_then(string).as_deref() {
            Some("optional") => Self::Optional,
            Some("required") => Self::Required,
            _ => Self::Forbidden,
        }
    }
}

// === impl ToolList ===

impl ToolList {
    /// Gathers tools; of two with one name the first stays.
    #[must_use]
    pub fn new(found: impl IntoIterator<Item = Tool>) -> Self {
        let mut list = Self::default();
        for tool in found {
            match list.by_full_name.entry(Arc::clone(&tool.full_name)) {
                Entry::Vacant(entry) => {
                    entry.insert(list.tools.len());
                    list.tools.push(Arc::new(tool));
                }
                Entry::Occupied(_) => {
                    tracing::warn!(tool = %tool.full_name, "a tool is hidden: another bears its name");
                }
            }
        }
        list
    }

    /// Whether both show the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&Arc<Tool>, &Arc<Tool>)| a.definition(Era::Modern, false) == b.definition(Era::Modern, false);
        self.tools.len() == other.tools.len() && self.tools.iter().zip(&other.tools).all(same)
    }

    /// The tool of this full name.
    #[must_use]
    pub fn get(&self, full_name: &str) -> Option<&Arc<Tool>> {
        self.by_full_name.get(full_name).map(|index| &self.tools[*index])
    }
}

// === impl ToolNaming ===

impl ToolNaming {
    /// The naming of an upstream's tools.
    ///
    /// # Errors
    ///
    /// If a glob of the selection is malformed.
    pub fn new(upstream: Arc<str>, separator: &str, selection: ToolSelection) -> Result<Self, globset::Error> {
        let globs = |patterns: &[String]| {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns {
                set.add(Glob::new(pattern)?);
            }
            set.build()
        };
        Ok(Self {
            separator: separator.to_owned(),
            include: globs(&selection.include)?,
            exclude: globs(&selection.exclude)?,
            upstream,
            selection,
        })
    }

    /// The tool of a definition; `None` where the selection hides it, and
    /// where the definition is not one that may be shown.
    #[must_use]
    pub fn tool(&self, definition: &RawValue) -> Option<Tool> {
        let (mut name, mut schema, mut plain_output) = (None, None, false);
        let mut task_support = TaskSupport::default();
        Members::for_each(definition.get(), |key, value| match key.as_ref() {
            "name" => name = string(value).map(Cow::into_owned),
            "inputSchema" => schema = Some(Box::from(value)),
            "outputSchema" => plain_output = !describes_object(value),
            "execution" => task_support = TaskSupport::of_execution(value),
            _ => {}
        })
        .ok()?;
        let upstream_name = name.filter(|name| !name.is_empty())?;
        if !self.include.is_match(&upstream_name) || self.exclude.is_match(&upstream_name) {
            return None;
        }
        let mirrored = match schema.as_deref().map(serde_json::from_str) {
            Some(Ok(schema)) => match MirroredParameter::of_schema(&schema) {
                Ok(mirrored) => mirrored,
                Err(reason) => {
                    tracing::warn!(upstream = %self.upstream, reason, "a tool with an invalid schema is hidden");
                    return None;
                }
            },
            _ => Vec::new(),
        };
        let short_name = self.selection.rename.get(&upstream_name).unwrap_or(&upstream_name).clone();
        let full_name = full_name(&self.upstream, &self.separator, &short_name);
        let legacy_definition = if plain_output {
            let text = Members::without(definition.get(), |key| key == "outputSchema").ok()?;
            Some(Definition::named(&text, &full_name, &short_name)?)
        } else {
            None
        };
        Some(Tool {
            definition: Definition::named(definition.get(), &full_name, &short_name)?,
            legacy_definition,
            full_name: full_name.into(),
            short_name,
            upstream_name: quoted(&upstream_name),
            upstream_name_header: mirror::encode(&upstream_name),
            upstream: Arc::clone(&self.upstream),
            mirrored,
            task_support,
            arguments: ArgumentsSchema::new(schema.unwrap_or_else(|| "{}".into())),
        })
    }
}

// === impl Definition ===

impl Definition {
    fn named(text: &str, full_name: &str, short_name: &str) -> Option<Self> {
        Some(Self { full: renamed(text, full_name)?, short: renamed(text, short_name)? })
    }
}

/// Whether an `outputSchema` is one that clients with a handshake know.
fn describes_object(schema: &str) -> bool {
    let mut is_object = false;
    let read = Members::for_each(schema, |key, value| {
        if key == "type" {
            is_object = value == "\"object\"";
        }
    });
    read.is_ok() && is_object
}

/// The definition with another name, all else as it was written.
fn renamed(text: &str, name: &str) -> Option<String> {
    let quoted = quoted(name);
    let mut span = None;
    Members::for_each(text, |key, value| {
        if key == "name" {
            span = Some(Span::of(value, text));
        }
    })
    .ok()?;
    let span = span?;
    Some(format!("{}{quoted}{}", &text[..span.start()], &text[span.end()..]))
}

/// The full name of an upstream's tool: what policies, limits and metrics know.
pub(crate) fn full_name(upstream: &str, separator: &str, short_name: &str) -> String {
    bounded([upstream, separator, short_name].concat())
}

/// The upstream's part of a full name and the tool's, taken apart at the first
/// separator; `None` where there is none.
pub(crate) fn split_name<'a>(full_name: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    // Names are short: a searcher costs more than the search.
    let mut parts = full_name.as_bytes().windows(separator.len().max(1));
    let end = parts.position(|part| part == separator.as_bytes())?;
    Some((full_name.get(..end)?, full_name.get(end + separator.len()..)?))
}

/// A name of at most [`MAX_NAME_CHARS`]: a longer one keeps its beginning and
/// ends in a hash of the whole, so that it stays the same and distinct.
fn bounded(name: String) -> String {
    if name.chars().count() <= MAX_NAME_CHARS {
        return name;
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let hash: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.chars().take(MAX_NAME_CHARS - 9).collect();
    format!("{kept}_{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(selection: ToolSelection) -> ToolNaming {
        ToolNaming::new("crm".into(), "__", selection).unwrap()
    }

    fn definition(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_name_of_a_definition_changes() {
        let tool = naming(ToolSelection::default())
            .tool(&definition(r#"{ "x-odd" : 1.50, "name":"find", "inputSchema":{"type":"object"} }"#))
            .unwrap();
        assert_eq!(
            tool.definition(Era::Legacy, false),
            r#"{ "x-odd" : 1.50, "name":"crm__find", "inputSchema":{"type":"object"} }"#
        );
        assert_eq!(
            tool.definition(Era::Modern, true),
            r#"{ "x-odd" : 1.50, "name":"find", "inputSchema":{"type":"object"} }"#
        );
    }

    #[test]
    fn the_selection_hides_and_renames() {
        let naming = naming(ToolSelection {
            include: vec!["find*".into()],
            exclude: vec!["find_all".into()],
            rename: [("find_one".to_owned(), "find".to_owned())].into(),
        });
        assert!(naming.tool(&definition(r#"{"name":"drop"}"#)).is_none());
        assert!(naming.tool(&definition(r#"{"name":"find_all"}"#)).is_none());
        let tool = naming.tool(&definition(r#"{"name":"find_one"}"#)).unwrap();
        assert_eq!((&*tool.full_name, tool.upstream_name.as_str()), ("crm__find", "\"find_one\""));
    }

    #[test]
    fn only_stateless_clients_see_an_output_schema_of_no_object() {
        let naming = naming(ToolSelection::default());
        let tool = naming.tool(&definition(r#"{"name":"a","outputSchema":{"type":"array"},"title":"A"}"#)).unwrap();
        assert_eq!(tool.definition(Era::Legacy, true), r#"{"name":"a","title":"A"}"#);
        assert!(tool.definition(Era::Modern, true).contains("outputSchema"));
        let tool = naming.tool(&definition(r#"{"name":"b","outputSchema":{"type":"object"}}"#)).unwrap();
        assert!(tool.definition(Era::Legacy, false).contains("outputSchema"));
    }

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        let naming = naming(ToolSelection::default());
        let name = |end: &str| {
            let text = format!(r#"{{"name":"{}{end}"}}"#, "n".repeat(80));
            naming.tool(&definition(&text)).unwrap().full_name
        };
        assert_eq!(name("a").chars().count(), MAX_NAME_CHARS);
        assert_ne!(name("a"), name("b"));
        assert_eq!(name("a"), name("a"));
    }

    #[test]
    fn a_tool_with_an_invalid_header_annotation_is_hidden() {
        let tool = r#"{"name":"t","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#;
        assert!(naming(ToolSelection::default()).tool(&definition(tool)).is_none());
    }

    #[test]
    fn of_two_tools_with_one_name_the_first_stays() {
        let naming = naming(ToolSelection::default());
        let tools =
            [r#"{"name":"a","n":1}"#, r#"{"name":"a","n":2}"#].map(|text| naming.tool(&definition(text)).unwrap());
        let list = ToolList::new(tools);
        assert_eq!(list.tools.len(), 1);
        assert!(list.get("crm__a").unwrap().definition(Era::Legacy, false).contains("\"n\":1"));
    }
}
