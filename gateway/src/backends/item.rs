//! Prompts, resources and templates of resources, as an upstream defines them
//! and as we show them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::quality::RandomState;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::beside::Beside;
use super::{tool, uri};
use crate::mcp::json::{Members, push_string};
use crate::mcp::operation::{ItemKind, ResourceUri, Wanted};
use crate::mcp::scanner::string;
use crate::mcp::splice::Span;

/// One of them.
#[derive(Debug)]
pub struct Item {
    /// What it is called.
    pub name: ItemName,
    /// Its definition as JSON, as it came.
    own: Box<str>,
    /// The same under its public name, where that is another.
    public: Option<Box<str>>,
}

/// What an item is called.
#[derive(Debug)]
pub enum ItemName {
    /// A prompt.
    Prompt {
        /// `UPSTREAM__PROMPT`: what policies know.
        full: Arc<str>,
        /// At the upstream.
        own: Arc<str>,
    },
    /// A resource, or a template of some.
    Resource(ResourceUri),
}

/// The items of one kind of one upstream.
#[derive(Debug, Default)]
pub struct ItemList {
    /// In the upstream's order.
    pub items: Vec<Arc<Item>>,
    /// What the upstream says beside them.
    pub beside: Beside,
    /// Until when it may be shown without asking again, where the upstream says
    /// so (MCP 2026-07-28, "Caching").
    pub until: Option<Instant>,
    by_key: HashMap<Arc<str>, usize, RandomState>,
}

/// Turns an upstream's definitions into items.
#[derive(Clone, Debug)]
pub struct ItemNaming {
    kind: ItemKind,
    upstream: Arc<str>,
    separator: Arc<str>,
}

// === impl Item ===

impl Item {
    /// Its definition as JSON; as it came where the path already names the
    /// upstream.
    #[must_use]
    pub fn definition(&self, short: bool) -> &str {
        self.public.as_deref().filter(|_| !short).unwrap_or(&self.own)
    }
}

// === impl ItemName ===

impl ItemName {
    /// What policy decides about.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Prompt { full, .. } => Wanted::Prompt(full),
            Self::Resource(uri) => Wanted::Resource(uri),
        }
    }

    /// Its name or URI at the upstream.
    #[must_use]
    pub const fn own(&self) -> &Arc<str> {
        match self {
            Self::Prompt { own, .. } => own,
            Self::Resource(uri) => &uri.own,
        }
    }

    /// The prompt's full name, or the resource's URI at the upstream: what it
    /// is looked up by.
    #[must_use]
    pub const fn key(&self) -> &Arc<str> {
        match self {
            Self::Prompt { full, .. } => full,
            Self::Resource(uri) => &uri.own,
        }
    }
}

// === impl ItemList ===

impl ItemList {
    /// Whether both show the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Item>, &Arc<Item>)| a.own == b.own;
        self.items.len() == other.items.len() && self.items.iter().zip(&other.items).all(same)
    }

    /// Gathers items; of two with one name the first stays.
    #[must_use]
    pub fn new(found: impl IntoIterator<Item = Item>) -> Self {
        let mut list = Self::default();
        for item in found {
            if let Entry::Vacant(entry) = list.by_key.entry(Arc::clone(item.name.key())) {
                entry.insert(list.items.len());
                list.items.push(Arc::new(item));
            }
        }
        list
    }

    /// The item of this [key](ItemName::key).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Item>> {
        self.by_key.get(key).map(|index| &self.items[*index])
    }
}

// === impl ItemNaming ===

impl ItemNaming {
    /// The naming of an upstream's items of one kind.
    #[must_use]
    pub const fn new(kind: ItemKind, upstream: Arc<str>, separator: Arc<str>) -> Self {
        Self { kind, upstream, separator }
    }

    /// What is listed.
    #[must_use]
    pub const fn kind(&self) -> ItemKind {
        self.kind
    }

    /// The item of a definition; `None` where it has no name.
    #[must_use]
    pub fn item(&self, definition: &RawValue) -> Option<Item> {
        let text = definition.get();
        let member = match self.kind {
            ItemKind::Tool | ItemKind::Prompt => "name",
            ItemKind::Resource => "uri",
            ItemKind::Template => "uriTemplate",
        };
        let mut found = None;
        Members::for_each(text, |key, value| {
            if key == member {
                found = Some(value);
            }
        })
        .ok()?;
        let written = found?;
        let own: Arc<str> = string(written)?.into();
        let (name, shown) = if member == "name" {
            let full: Arc<str> = tool::full_name(&self.upstream, &self.separator, &own).into();
            (ItemName::Prompt { full: Arc::clone(&full), own: Arc::clone(&own) }, full)
        } else {
            let uri = uri::of_one(&self.upstream, &own);
            let public = Arc::clone(&uri.public);
            (ItemName::Resource(uri), public)
        };
        let public = (shown != own).then(|| {
            let span = Span::of(written, text);
            let mut renamed = String::with_capacity(text.len() + shown.len());
            renamed.push_str(&text[..span.start()]);
            push_string(&mut renamed, &shown);
            renamed.push_str(&text[span.end()..]);
            renamed.into()
        });
        Some(Item { name, own: text.into(), public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: ItemKind, definition: &str) -> Option<Item> {
        let naming = ItemNaming::new(kind, "crm".into(), "__".into());
        naming.item(&RawValue::from_string(definition.to_owned()).unwrap())
    }

    #[test]
    fn only_what_names_an_item_changes() {
        for (kind, own, public) in [
            (ItemKind::Prompt, r#"{ "x":1.0, "name":"ask" }"#, r#"{ "x":1.0, "name":"crm__ask" }"#),
            (ItemKind::Resource, r#"{"name":"n","uri":"file:///a"}"#, r#"{"name":"n","uri":"crm+file:///a"}"#),
            (ItemKind::Template, r#"{"uriTemplate":"x:{y}","uri":1}"#, r#"{"uriTemplate":"crm+x:{y}","uri":1}"#),
            (ItemKind::Resource, r#"{"uri":"https://a/b"}"#, r#"{"uri":"https://a/b"}"#),
        ] {
            let item = item(kind, own).unwrap();
            assert_eq!((item.definition(true), item.definition(false)), (own, public));
        }
    }

    #[test]
    fn what_has_no_name_is_no_item() {
        assert!(item(ItemKind::Prompt, r#"{"uri":"a:b"}"#).is_none());
        assert!(item(ItemKind::Resource, r#"{"uri":7}"#).is_none());
        assert!(item(ItemKind::Resource, "[]").is_none());
    }

    #[test]
    fn items_are_found_by_what_they_are_called() {
        let list = ItemList::new([item(ItemKind::Prompt, r#"{"name":"ask"}"#).unwrap()]);
        assert!(list.get("crm__ask").is_some());
        assert!(list.get("ask").is_none());
        let twice =
            [r#"{"uri":"a:b","n":1}"#, r#"{"uri":"a:b","n":2}"#].map(|text| item(ItemKind::Resource, text).unwrap());
        let list = ItemList::new(twice);
        assert_eq!(list.items.len(), 1);
        assert!(list.get("a:b").unwrap().definition(true).contains("\"n\":1"));
    }
}
