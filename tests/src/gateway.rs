//! The real binary, running.

mod home;
mod log;
mod metrics;

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::Client;
use crate::command::binary;
use crate::http::{Reply, Request};
use crate::patience::{wait_for, wait_until};

pub use home::{Home, KEY, sha256, standard};
pub use log::Log;

/// A running gateway; it is stopped with this value.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// The directory it runs in, with its files.
    pub home: Home,
    /// Where clients reach it.
    pub main: SocketAddr,
    /// Where operators reach it.
    pub admin: SocketAddr,
    /// What it wrote to standard error.
    pub log: Log,
    /// What it wrote to standard output.
    pub answers: Log,
}

// === impl Gateway ===

impl Gateway {
    /// A gateway in front of these upstreams (name, configuration entry) that
    /// lets [`KEY`] call everything.
    pub fn over(upstreams: &[(&str, &str)]) -> Self {
        Self::over_with(upstreams, "")
    }

    /// As [`Gateway::over`], with more configuration.
    pub fn over_with(upstreams: &[(&str, &str)], more: &str) -> Self {
        Home::open().serve(&standard(upstreams, more))
    }

    /// Starts the built-in default, which listens where the documentation says.
    pub fn built_in_default() -> Self {
        let [main, admin] = [8080, 9090].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let home = Home::empty();
        let (child, log, answers) = spawn(&home, &["serve"]);
        Self { child, home, main, admin, log, answers }.wait_until_ready()
    }

    /// Ends the process and starts another in the same directory.
    ///
    /// # Panics
    ///
    /// When it does not end by itself, with success.
    pub fn restart(&mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait_exit().code(), Some(0), "{}", self.log.text());
        let home = std::mem::replace(&mut self.home, Home::empty());
        // The one that is dropped has ended.
        *self = Self::start(home).wait_until_ready();
    }

    fn start(home: Home) -> Self {
        let (mut child, log, answers) = spawn(&home, &["serve", "-c", "portcullis.yaml"]);
        let mut address_of = |listener: &str| {
            wait_for("the gateway to listen", || {
                if let Ok(Some(status)) = child.try_wait() {
                    panic!("the gateway ended at start: {status}\n{}", log.text());
                }
                log.listening(listener)
            })
        };
        let (main, admin) = (address_of("main"), address_of("admin"));
        Self { child, home, main, admin, log, answers }
    }

    fn wait_until_ready(self) -> Self {
        wait_until("the gateway to be ready", || self.ready_status() == Some(200));
        self
    }

    /// What the readiness path says now; `None` when nobody answers.
    pub fn ready_status(&self) -> Option<u16> {
        Request::new("GET", "/health/ready").open(self.admin).ok().map(|answer| answer.status)
    }

    /// A client with the standard key at `/mcp`.
    pub fn client(&self) -> Client {
        Client::new(self.main).key(KEY)
    }

    /// The same gateway, once each of these tools is listed.
    #[must_use]
    pub fn listing(self, tools: &[String]) -> Self {
        wait_until("every upstream's tools", || {
            let listed = self.client().tools();
            tools.iter().all(|tool| listed.contains(tool))
        });
        self
    }

    /// The URL of a path of the main listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.main)
    }

    /// Reads a path of the admin listener.
    pub fn admin_get(&self, path: &str) -> Reply {
        Request::new("GET", path).send(self.admin)
    }

    /// The sum of a metric's samples that bear all these labels; zero when there are none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metrics::sum(&self.admin_get("/metrics").text(), name, labels)
    }

    /// The access line of the call that has this request id.
    pub fn access_line(&self, request_id: &str) -> Value {
        let is_it = |line: &Value| line["request_id"] == request_id && line["message"] == "request";
        wait_for("the access line", || self.log.find(is_it))
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Sends the process a signal.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the gateway runs");
    }

    /// Whether the process still runs.
    ///
    /// # Panics
    ///
    /// Never, for a child of ours.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_for("the gateway to end", || self.child.try_wait().expect("it is our child"))
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("always there");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The processes that the gateway started and that still run.
    ///
    /// # Panics
    ///
    /// When `/proc` cannot be read.
    pub fn children(&self) -> Vec<Pid> {
        let parent = self.child.id().to_string();
        let processes = std::fs::read_dir("/proc").expect("linux").filter_map(Result::ok);
        processes
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                // After the name in parentheses: state, then the parent.
                let mut fields = stat.rsplit_once(") ")?.1.split(' ');
                (fields.next()? != "Z" && fields.next()? == parent).then(|| Pid::from_raw(pid))
            })
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log.text());
        }
        if self.is_running() {
            self.signal(Signal::SIGTERM);
            // A second panic would abort the whole run.
            if !std::thread::panicking() {
                self.wait_exit();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(home: &Home, arguments: &[&str]) -> (Child, Log, Log) {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(home.path()).env_remove("PORTCULLIS_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let log = Log::of(child.stderr.take().expect("was asked for"));
    let answers = Log::of(child.stdout.take().expect("was asked for"));
    (child, log, answers)
}
