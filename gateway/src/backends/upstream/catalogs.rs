//! All lists of one upstream.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::catalog::Catalog;
use crate::backends::item::ItemNaming;
use crate::backends::tool::ToolNaming;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::request::ItemKind;

/// Lists of tools that are kept for clients of different abilities; clients
/// of still others see what all see.
const MAX_LISTS_OF_TOOLS: usize = 16;

/// The lists, by what they list. Tools are fetched in the background, the
/// others when they are first asked for.
#[derive(Debug)]
pub(super) struct Catalogs {
    naming: Arc<ToolNaming>,
    /// What clients see that can be asked nothing.
    tools: Catalog<Arc<ToolNaming>>,
    /// What others see.
    for_able: ArcSwap<Vec<(Capabilities, Arc<ToolCatalog>)>>,
    pub(super) prompts: Catalog<ItemNaming>,
    resources: Catalog<ItemNaming>,
    templates: Catalog<ItemNaming>,
}

/// A list of tools.
pub(super) type ToolCatalog = Catalog<Arc<ToolNaming>>;

// === impl Catalogs ===

impl Catalogs {
    pub(super) fn new(tools: ToolNaming, upstream: &Arc<str>, separator: &str) -> Self {
        let naming = Arc::new(tools);
        let items =
            |kind| Catalog::new(ItemNaming::new(kind, Arc::clone(upstream), separator.into()), Capabilities::NONE);
        Self {
            tools: Catalog::new(Arc::clone(&naming), Capabilities::NONE),
            for_able: ArcSwap::default(),
            prompts: items(ItemKind::Prompt),
            resources: items(ItemKind::Resource),
            templates: items(ItemKind::Template),
            naming,
        }
    }

    /// The tools that all clients see.
    pub(super) const fn tools(&self) -> &ToolCatalog {
        &self.tools
    }

    /// The tools that clients of these abilities see; `None` where it is what
    /// all see.
    pub(super) fn tools_for(&self, abilities: Capabilities) -> Option<Arc<ToolCatalog>> {
        if abilities.is_empty() {
            return None;
        }
        let find = |all: &[(Capabilities, Arc<ToolCatalog>)]| {
            all.iter().find(|(able, _)| *able == abilities).map(|(_, catalog)| Arc::clone(catalog))
        };
        if let Some(known) = find(&self.for_able.load()) {
            return Some(known);
        }
        let new = Arc::new(Catalog::new(Arc::clone(&self.naming), abilities));
        self.for_able.rcu(|all| {
            let mut all = Vec::clone(all);
            if all.len() < MAX_LISTS_OF_TOOLS && find(&all).is_none() {
                all.push((abilities, Arc::clone(&new)));
            }
            all
        });
        find(&self.for_able.load())
    }

    /// The list of this kind, where it is not that of tools.
    pub(super) const fn of(&self, kind: ItemKind) -> Option<&Catalog<ItemNaming>> {
        match kind {
            ItemKind::Tool => None,
            ItemKind::Prompt => Some(&self.prompts),
            ItemKind::Resource => Some(&self.resources),
            ItemKind::Template => Some(&self.templates),
        }
    }

    /// Notes that everything may have changed at the server.
    pub(super) fn all_changed(&self) {
        self.tools_changed();
        self.prompts.changed();
        self.resources.changed();
        self.templates.changed();
    }

    /// Takes in a notification; says whether it told of a changed list.
    pub(super) fn hear(&self, method: &str) -> bool {
        match method {
            "notifications/tools/list_changed" => self.tools_changed(),
            "notifications/prompts/list_changed" => self.prompts.changed(),
            "notifications/resources/list_changed" => {
                self.resources.changed();
                self.templates.changed();
            }
            _ => return false,
        }
        true
    }

    pub(super) fn tools_changed(&self) {
        self.tools.changed();
        self.for_able.load().iter().for_each(|(_, catalog)| catalog.changed());
    }
}

/// The parameters of `subscriptions/listen` for changes of the lists.
pub(super) fn listen_params() -> Value {
    json!({"notifications": {
        "toolsListChanged": true,
        "promptsListChanged": true,
        "resourcesListChanged": true,
    }})
}
