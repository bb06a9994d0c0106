//! One run of the suite: who asks, who answers, and what stands between.

use std::env::var_os;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

use portcullis_tests::balancer::Balancer;
use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, sha256, standard};
use portcullis_tests::patience::{wait_until, wait_within};
use portcullis_tests::peer::{Peer, installed, node};
use tempfile::TempDir;

use crate::baseline::Baseline;
use crate::outcome::Outcome;

const SUITE: &str = "peers/conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js";

/// How long the whole suite may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Lets everyone use everything, as the suite brings no credential.
const ANYONE: &str = "\
policies:
  - name: anyone
    subjects: {roles: [guest]}
    tools: {allow: [\"*\"]}
    prompts: {allow: [\"*\"]}
    resources: {allow: [\"*\"]}
";

/// Which revisions the upstream speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// What stands between the suite and the upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Through {
    Gateway,
    Nothing,
}

/// A run, which happens once however often it is asked for.
#[derive(Debug)]
pub(crate) struct Run {
    /// The revision that the suite speaks.
    pub(crate) client: &'static str,
    pub(crate) upstream: Era,
    pub(crate) through: Through,
    outcome: OnceLock<Outcome>,
}

/// What a run needs to be alive.
struct Stage {
    url: String,
    _gateways: Vec<Gateway>,
    _upstream: Peer,
}

// === impl Era ===

impl Era {
    /// As the upstream's option has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

// === impl Run ===

impl Run {
    pub(crate) const fn new(client: &'static str, upstream: Era, through: Through) -> Self {
        Self { client, upstream, through, outcome: OnceLock::new() }
    }

    /// What this run's clients cannot have yet. The upstreams alone owe everything.
    pub(crate) fn baseline(&self) -> Baseline {
        match self.through {
            Through::Gateway => Baseline::read(&format!("{}-{}", self.client, self.upstream.name())),
            Through::Nothing => Baseline::none(),
        }
    }

    /// What the suite said.
    pub(crate) fn outcome(&self) -> &Outcome {
        self.outcome.get_or_init(|| {
            let results = TempDir::new().unwrap();
            let log = self.run_suite(&selection(self.client), results.path());
            Outcome::read(results.path(), &log)
        })
    }

    /// Runs one scenario and shows what the suite said. It may fail.
    pub(crate) fn try_scenario(&self, scenario: &str) {
        let results = TempDir::new().unwrap();
        println!("{}", self.run_suite(&["--scenario", scenario, "--spec-version", self.client], results.path()));
    }

    /// What the suite printed; the results are in the directory then.
    fn run_suite(&self, selection: &[&str], results: &Path) -> String {
        let _slot = Slot::take();
        let stage = self.stage();
        let log = results.join("log");
        let output = File::create(&log).unwrap();
        let mut command = node();
        command.arg(installed(SUITE)).args(["server", "--url", &stage.url]).args(selection).arg("-o").arg(results);
        command.stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
        let mut suite = Suite(command.spawn().unwrap());
        // Its exit code knows nothing of what is not scored; what it wrote does.
        wait_within(LIMIT, "the suite to end", || suite.0.try_wait().unwrap());
        fs::read_to_string(log).unwrap()
    }

    fn stage(&self) -> Stage {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conformance-upstream"));
        command.args(["--era", self.upstream.name()]);
        let upstream = Peer::start(command);
        if self.through == Through::Nothing {
            return Stage { url: upstream.url(), _gateways: Vec::new(), _upstream: upstream };
        }
        let entry = format!("{{url: \"{}\"}}", upstream.url());
        let anyone = "auth: {anonymous: {roles: [guest]}}\n";
        let serve = |config: &str| {
            let gateway = Home::with_policies(ANYONE).serve(config);
            let client = Client::new(gateway.main).at("/servers/up/mcp");
            wait_until("the upstream's tools", || !client.tools().is_empty());
            gateway
        };
        if var_os("REPLICAS").is_none() {
            let gateway = serve(&standard(&[("up", &entry)], anyone));
            return Stage { url: gateway.url("/servers/up/mcp"), _gateways: vec![gateway], _upstream: upstream };
        }
        let replicated = format!(
            "{anyone}sessions: {{keys: [\"{}\"]}}\nreplicas: {{listen: \"127.0.0.1:0\"}}\n",
            sha256("conformance")
        );
        let gateways = [(); 2].map(|()| serve(&standard(&[("up", &entry)], &replicated)));
        let balancer = Balancer::before(&gateways.each_ref().map(|gateway| gateway.main));
        Stage { url: balancer.url("/servers/up/mcp"), _gateways: gateways.into(), _upstream: upstream }
    }
}

/// Everything that the suite has for a client of this revision.
fn selection(revision: &'static str) -> Vec<&'static str> {
    match revision {
        "2025-11-25" | "2026-07-28" => vec!["--requirements", revision],
        _ => vec!["--suite", "all", "--spec-version", revision],
    }
}

/// The suite while it runs.
struct Suite(Child);

// === impl Suite ===

impl Drop for Suite {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Leave to run beside at most one other: the suite has deadlines of its own.
struct Slot;

static FREE: Mutex<usize> = Mutex::new(2);
static FREED: Condvar = Condvar::new();

// === impl Slot ===

impl Slot {
    fn take() -> Self {
        let mut free = FREED.wait_while(FREE.lock().unwrap(), |free| *free == 0).unwrap();
        *free -= 1;
        Self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *FREE.lock().unwrap() += 1;
        FREED.notify_one();
    }
}
