//! All lists of one upstream.

use std::sync::Arc;

use serde_json::{Value, json};

use super::catalog::Catalog;
use crate::backends::item::ItemNaming;
use crate::backends::tool::ToolNaming;
use crate::mcp::request::ItemKind;

/// The lists, by what they list. Tools are fetched in the background, the
/// others when they are first asked for.
#[derive(Debug)]
pub(super) struct Catalogs {
    pub(super) tools: Catalog<ToolNaming>,
    pub(super) prompts: Catalog<ItemNaming>,
    pub(super) resources: Catalog<ItemNaming>,
    pub(super) templates: Catalog<ItemNaming>,
}

// === impl Catalogs ===

impl Catalogs {
    pub(super) fn new(tools: ToolNaming, upstream: &Arc<str>, separator: &str) -> Self {
        let items = |kind| Catalog::new(ItemNaming::new(kind, Arc::clone(upstream), separator.into()));
        Self {
            tools: Catalog::new(tools),
            prompts: items(ItemKind::Prompt),
            resources: items(ItemKind::Resource),
            templates: items(ItemKind::Template),
        }
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
        self.tools.changed();
        self.prompts.changed();
        self.resources.changed();
        self.templates.changed();
    }

    /// Takes in a notification; says whether it told of a changed list.
    pub(super) fn hear(&self, method: &str) -> bool {
        match method {
            "notifications/tools/list_changed" => self.tools.changed(),
            "notifications/prompts/list_changed" => self.prompts.changed(),
            "notifications/resources/list_changed" => {
                self.resources.changed();
                self.templates.changed();
            }
            _ => return false,
        }
        true
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
