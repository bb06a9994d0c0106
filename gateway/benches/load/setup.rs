//! The processes of a run, and who is measured in which of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::timeout;

use crate::child::Running;
use crate::conversation::Conversations;
use crate::cpus::Cpus;
use crate::floor;
use crate::gateway::{self, Extra, Gateway};
use crate::message::{Era, Target};
use crate::options::Options;
use crate::process::{Memory, memory};
use crate::round::{Measured, measure};
use crate::scenario::{Mode, Scenario, Seat};
use crate::upstream::{self, LARGE, LEGACY_PATH, MODERN_PATH};

/// Starts whose time is taken.
const STARTS: usize = 5;
/// How long the handshakes before a measurement may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that runs; it ends with this value.
#[derive(Debug)]
pub(crate) struct Setup {
    binary: PathBuf,
    cpus: Cpus,
    gateway: Gateway,
    audited: Option<Gateway>,
    chatting: Option<Gateway>,
    floor: (Running, SocketAddr),
    upstream: (Running, SocketAddr),
}

/// One scenario's rounds: subject and baseline.
pub(crate) type Rounds = Vec<(Measured, Measured)>;

// === impl Setup ===

impl Setup {
    /// Starts what the modes need.
    pub(crate) async fn start(options: &Options, cpus: Cpus) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program has no path")?;
        let upstream = Running::listening(Command::new(&program).arg(upstream::ROLE))?;
        let role = [floor::ROLE, &upstream.1.to_string()];
        let floor = Running::listening(cpus.of_proxies(program.as_os_str()).args(role))?;
        let gateway = Gateway::start(&options.binary, &cpus, upstream.1, Extra::Nothing).await?;
        let audited = match options.modes.contains(&Mode::Audit) {
            true => Some(Gateway::start(&options.binary, &cpus, upstream.1, Extra::Audit).await?),
            false => None,
        };
        let chatting = match options.modes.contains(&Mode::Chat) {
            true => {
                let extra = Extra::Model(options.conversations);
                let chatting = Gateway::start(&options.binary, &cpus, upstream.1, extra).await?;
                chatting.ready().await?;
                Some(chatting)
            }
            false => None,
        };
        Ok(Self { binary: options.binary.clone(), cpus, gateway, audited, chatting, floor, upstream })
    }

    /// Milliseconds from the start of a gateway to the first connection it takes.
    pub(crate) async fn start_times(&self) -> anyhow::Result<Vec<f64>> {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let gateway = Gateway::start(&self.binary, &self.cpus, self.upstream.1, Extra::Nothing).await?;
            times.push(gateway.started_in.as_secs_f64() * 1e3);
        }
        Ok(times)
    }

    /// Memory of the gateway now.
    pub(crate) fn gateway_memory(&self) -> anyhow::Result<Memory> {
        memory(self.gateway.pid())
    }

    /// Measures subject and baseline of a scenario in turn.
    pub(crate) async fn rounds(&self, options: &Options, scenario: Scenario) -> anyhow::Result<Rounds> {
        let (subject, baseline) = (scenario.mode.subject(), scenario.mode.baseline());
        let measure = async |seat, target| self.measure(seat, target, scenario.connections, options).await;
        let subject_target = self.target(subject, scenario).await?;
        let baseline_target = self.target(baseline, scenario).await?;
        let mut rounds = Vec::new();
        for round in 0..options.rounds {
            // Whoever goes second finds the machine warmer.
            rounds.push(if round % 2 == 0 {
                let first = measure(subject, &subject_target).await?;
                (first, measure(baseline, &baseline_target).await?)
            } else {
                let first = measure(baseline, &baseline_target).await?;
                (measure(subject, &subject_target).await?, first)
            });
        }
        Ok(rounds)
    }

    async fn measure(
        &self,
        seat: Seat,
        target: &Target,
        connections: u32,
        options: &Options,
    ) -> anyhow::Result<Measured> {
        let window = options.measured();
        let Some(gateway) = self.gateway_at(seat)? else {
            return measure(target, self.floor.0.pid(), connections, window).await;
        };
        let busy = (seat == Seat::Busy).then(|| Conversations::start(gateway, options.conversations));
        let measured = measure(target, gateway.pid(), connections, window).await?;
        if let Some(conversations) = busy {
            conversations.end().await?;
        }
        ensure!(gateway.empty_log()? > 0, "the access log is off");
        Ok(measured)
    }

    fn gateway_at(&self, seat: Seat) -> anyhow::Result<Option<&Gateway>> {
        Ok(match seat {
            Seat::Floor => None,
            Seat::Gateway => Some(&self.gateway),
            Seat::Idle | Seat::Busy => Some(self.chatting.as_ref().context("started for this mode")?),
            Seat::Audited => Some(self.audited.as_ref().context("started for this mode")?),
        })
    }

    async fn target(&self, seat: Seat, scenario: Scenario) -> anyhow::Result<Target> {
        let mode = scenario.mode;
        let message = "m".repeat(scenario.message as usize);
        let expected = if mode == Mode::Large { "x".repeat(LARGE) } else { message.clone() };
        let (era, tool, sessions) = (mode.client(), mode.tool(), Vec::new());
        let mut target = match self.gateway_at(seat)? {
            None => {
                let path = if era == Era::Modern { MODERN_PATH } else { LEGACY_PATH };
                let (address, tool) = (self.floor.1, tool.to_owned());
                Target { address, path, key: None, era, tool, message, expected, sessions }
            }
            Some(Gateway { address, .. }) => {
                let upstream = if mode.upstream() == Era::Modern { "modern" } else { "legacy" };
                let (key, tool) = (Some(gateway::KEY), format!("{upstream}__{tool}"));
                Target { address: *address, path: gateway::PATH, key, era, tool, message, expected, sessions }
            }
        };
        let opened = timeout(PATIENCE, target.open_sessions()).await.context("no answer").and_then(|opened| opened);
        opened.with_context(|| format!("{} at {}", mode.as_str(), seat.as_str()))?;
        Ok(target)
    }
}
