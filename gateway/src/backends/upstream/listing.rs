//! What an upstream's definitions become, kind by kind.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::backends::beside::Beside;
use crate::backends::item::{Item, ItemList, ItemNaming};
use crate::backends::tool::{Tool, ToolList, ToolNaming};
use crate::mcp::operation::ItemKind;

/// What makes a list out of an upstream's definitions.
pub(super) trait Listing: Send + Sync {
    /// One entry.
    type Entry: Send;
    /// All of them.
    type List: Send + Sync;

    /// What is listed.
    fn kind(&self) -> ItemKind;

    /// The entry of a definition; `None` where it is not to be shown.
    fn entry(&self, definition: &RawValue) -> Option<Self::Entry>;

    /// The list of the entries, and of what stands beside them; the server says
    /// `until` when it may be kept.
    fn list(&self, entries: Vec<Self::Entry>, beside: Beside, until: Option<Instant>) -> Self::List;
}

impl Listing for Arc<ToolNaming> {
    type Entry = Tool;
    type List = ToolList;

    fn kind(&self) -> ItemKind {
        ItemKind::Tool
    }

    fn entry(&self, definition: &RawValue) -> Option<Tool> {
        self.tool(definition)
    }

    fn list(&self, entries: Vec<Tool>, beside: Beside, until: Option<Instant>) -> ToolList {
        let mut list = ToolList::new(entries);
        (list.beside, list.until) = (beside, until);
        list
    }
}

impl Listing for ItemNaming {
    type Entry = Item;
    type List = ItemList;

    fn kind(&self) -> ItemKind {
        Self::kind(self)
    }

    fn entry(&self, definition: &RawValue) -> Option<Item> {
        self.item(definition)
    }

    fn list(&self, entries: Vec<Item>, beside: Beside, until: Option<Instant>) -> ItemList {
        let mut list = ItemList::new(entries);
        (list.beside, list.until) = (beside, until);
        list
    }
}
