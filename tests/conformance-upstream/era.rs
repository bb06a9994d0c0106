//! The revisions the server speaks.

use std::borrow::Cow;

use clap::ValueEnum;
use rmcp::model::ProtocolVersion;

/// A server of one era refuses the other as the SDK does: `initialize` and
/// `server/discover` are both answered with -32022 and the revisions it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Era {
    /// The handshake revisions
    Legacy,
    /// 2026-07-28
    Modern,
    /// All of them
    Both,
}

// === impl Era ===

impl Era {
    /// The revisions of this era, oldest first.
    pub(crate) fn revisions(self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(match self {
            Self::Legacy => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
            Self::Modern => &[ProtocolVersion::V_2026_07_28],
            Self::Both => ProtocolVersion::KNOWN_VERSIONS,
        })
    }
}
