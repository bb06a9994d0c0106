//! All lists of one upstream.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::catalog::Catalog;
use crate::backends::item::ItemNaming;
use crate::backends::tool::ToolNaming;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::changes::{Changes, Kind, Moment};
use crate::mcp::operation::ItemKind;

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
    /// For those who show them to clients.
    changes: watch::Sender<Changes>,
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
            changes: watch::Sender::default(),
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

    /// When they changed.
    pub(super) fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// Notes that the server can be asked for its lists, and could not before.
    pub(super) fn came_up(&self) {
        self.changes.send_replace(Changes::all(Moment::next()));
    }

    /// Notes that a list changed that was looked at.
    pub(super) fn differs(&self, kind: Kind) {
        self.changes.send_modify(|changes| changes.note(kind, Moment::next()));
    }

    /// Notes that everything has probably changed at the server.
    pub(super) fn all_changed(&self) {
        self.all_stale();
        self.came_up();
    }

    /// Notes that something may have changed at the server unheard: lists are
    /// looked at before they are shown again.
    pub(super) fn all_stale(&self) {
        self.tools_changed();
        self.prompts.changed();
        self.resources.changed();
        self.templates.changed();
    }

    /// Takes in a notification; says whether it told of a changed list.
    pub(super) fn hear(&self, method: &str) -> bool {
        let Some(kind) = Kind::of_notification(method) else { return false };
        match kind {
            Kind::Tools => self.tools_changed(),
            Kind::Prompts => self.prompts.changed(),
            Kind::Resources => {
                self.resources.changed();
                self.templates.changed();
            }
        }
        self.differs(kind);
        true
    }

    pub(super) fn tools_changed(&self) {
        self.tools.changed();
        self.for_able.load().iter().for_each(|(_, catalog)| catalog.changed());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::backends::settings::ToolSelection;

    #[test]
    fn what_the_server_says_is_told_kind_by_kind() {
        let naming = ToolNaming::new("crm".into(), "__", ToolSelection::default()).unwrap();
        let catalogs = Catalogs::new(naming, &"crm".into(), "__");
        let mut changes = catalogs.changes();
        catalogs.all_stale();
        assert!(!catalogs.hear("notifications/message") && !changes.has_changed().unwrap());
        for kind in Kind::ALL {
            let before = *changes.borrow_and_update();
            let told: Value = serde_json::from_slice(&kind.notification()).unwrap();
            assert!(catalogs.hear(told["method"].as_str().unwrap()));
            let after = *changes.borrow_and_update();
            assert_eq!(Kind::ALL.map(|other| after.of(other) > before.of(other)), Kind::ALL.map(|other| other == kind));
        }
        let before = *changes.borrow_and_update();
        catalogs.all_changed();
        assert!(Kind::ALL.iter().all(|kind| changes.borrow().of(*kind) > before.of(*kind)));
    }
}
