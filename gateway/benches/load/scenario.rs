//! What is compared with what, under which load.

use clap::ValueEnum;

use crate::message::Era;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// With sessions on both sides, answered with JSON
    Json,
    /// The same, answered with an event stream
    Sse,
    /// Stateless on both sides
    Modern,
    /// A client with sessions, a stateless upstream
    Bridged,
    /// As json with the audit log on, beside the same without
    Audit,
    /// As json, with bodies of 16 KiB, 256 KiB and 1 MiB both ways
    Bodies,
    /// As json, with a result of 1 MiB
    Large,
    /// As json while the gateway's model holds conversations, beside the same while it has none
    Chat,
}

/// A process under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// The bare proxy.
    Floor,
    /// The gateway.
    Gateway,
    /// The gateway with its audit log on.
    Audited,
    /// The gateway with a model that has nothing to do.
    Idle,
    /// The same while it holds conversations.
    Busy,
}

/// One row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) mode: Mode,
    pub(crate) connections: u32,
    /// Bytes of the message that a call sends.
    pub(crate) message: u32,
}

/// As many connections as keep a proxy busy with large bodies.
const MAX_LARGE: u32 = 8;
/// The messages of [`Mode::Bodies`].
const BODIES: [u32; 3] = [16 * 1024, 256 * 1024, 1024 * 1024];

// === impl Mode ===

impl Mode {
    /// Every mode that the gateway beside this bench can serve, in the order of
    /// the report.
    pub(crate) fn all() -> Vec<Self> {
        let mut modes =
            vec![Self::Json, Self::Sse, Self::Modern, Self::Bridged, Self::Audit, Self::Bodies, Self::Large];
        if cfg!(feature = "chat") {
            modes.push(Self::Chat);
        }
        modes
    }

    /// Its name in the report.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Sse => "sse",
            Self::Modern => "modern",
            Self::Bridged => "bridged",
            Self::Audit => "audit",
            Self::Bodies => "bodies",
            Self::Large => "large",
            Self::Chat => "chat",
        }
    }

    /// The upstream's tool that is called.
    pub(crate) const fn tool(self) -> &'static str {
        match self {
            Self::Json | Self::Modern | Self::Bridged | Self::Audit | Self::Bodies | Self::Chat => "echo",
            Self::Sse => "stream",
            Self::Large => "large",
        }
    }

    /// How the client talks.
    pub(crate) const fn client(self) -> Era {
        match self {
            Self::Modern => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// How the upstream behind the gateway talks.
    pub(crate) const fn upstream(self) -> Era {
        match self {
            Self::Modern | Self::Bridged => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// What is measured.
    pub(crate) const fn subject(self) -> Seat {
        match self {
            Self::Audit => Seat::Audited,
            Self::Chat => Seat::Busy,
            _ => Seat::Gateway,
        }
    }

    /// What it is compared with.
    pub(crate) const fn baseline(self) -> Seat {
        match self {
            Self::Audit => Seat::Gateway,
            Self::Chat => Seat::Idle,
            _ => Seat::Floor,
        }
    }
}

// === impl Seat ===

impl Seat {
    /// Its name in the report.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Gateway => "gateway",
            Self::Audited => "gateway with audit",
            Self::Idle => "idle model",
            Self::Busy => "busy model",
        }
    }
}

/// The rows for these modes: some modes say enough with one of the loads.
pub(crate) fn scenarios(modes: &[Mode], connections: &[u32], message: u32) -> Vec<Scenario> {
    let least = connections.iter().copied().min().unwrap_or(1);
    let of_mode = |&mode: &Mode| -> Vec<Scenario> {
        let with = |connections, message| Scenario { mode, connections, message };
        match mode {
            Mode::Json | Mode::Sse | Mode::Modern => connections.iter().map(|&load| with(load, message)).collect(),
            Mode::Bridged | Mode::Audit | Mode::Chat => vec![with(least, message)],
            Mode::Bodies => BODIES.map(|bytes| with(least.min(MAX_LARGE), bytes)).to_vec(),
            Mode::Large => vec![with(least.min(MAX_LARGE), message)],
        }
    };
    modes.iter().flat_map(of_mode).collect()
}
