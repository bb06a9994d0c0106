//! The process from its listeners to its end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use futures_util::future::OptionFuture;
use tokio::signal::unix::{SignalKind, signal};

use super::assembly::Assembly;
use super::generation::{Current, Generation};
use super::replication::Replication;
use crate::admin::{Admin, Phase};
use crate::backends::Backend;
use crate::config::{Config, Reloads, Source, is_error};
use crate::listener::{self, Drain, ListenerSettings, TlsAcceptor};
use crate::mcp::session::IDLE_TIMEOUT;
use crate::mcp::streams::MAX_STREAMS;

/// How often what is idle is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// How long connections without a request may take to close at the end.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// How long upstreams may take to end.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);

/// Serves until SIGTERM or SIGINT, then drains.
pub(super) async fn run(assembly: Arc<Assembly>, config: Config, source: Source) -> anyhow::Result<()> {
    // Caught before anything listens, so that an early one is not lost.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    let tls = config.tls.clone().map(TlsAcceptor::load).transpose().context("TLS cannot be set up")?;
    let main = listener::bind("main", config.listen).with_context(|| format!("cannot listen on {}", config.listen))?;
    let admin = listener::bind("admin", config.admin_listen)
        .with_context(|| format!("cannot listen on {}", config.admin_listen))?;
    let addresses = (main.local_addr()?, admin.local_addr()?);
    let replication = config.replicas.as_ref().map(|settings| Replication::listen(&assembly, settings)).transpose()?;
    let generation = assembly.generation(&config, None)?;
    warn_of_lost_sessions(&config);
    let current = Arc::new(ArcSwap::from_pointee(generation));

    let settings = ListenerSettings {
        max_connections: max_connections(&config),
        drain_timeout: LAST_GRACE,
        ..ListenerSettings::default()
    };
    let (drain, signal) = Drain::new();
    let serving = tokio::spawn(listener::serve(
        main,
        tls.clone(),
        settings.clone(),
        Current(Arc::clone(&current)),
        signal.clone(),
    ));
    let admin_service = Admin::new(Arc::clone(&assembly.metrics), assembly.readiness.clone());
    let serving_admin = tokio::spawn(listener::serve(admin, None, settings, admin_service, signal.clone()));
    let serving_replicas =
        replication.map(|replication| tokio::spawn(replication.serve(Arc::clone(&current), LAST_GRACE, signal)));
    if let Some(tls) = tls {
        tokio::spawn(tls.keep_current());
    }
    tokio::spawn(sweep(Arc::clone(&assembly)));
    tokio::spawn(hang_up(Arc::clone(&current)));
    let starting = async {
        // Calls are served meanwhile; whoever asks is sent none yet that a
        // model would turn away.
        loop {
            let generation = current.load_full();
            generation.models.settled().await;
            // Another may have come while its models were loaded.
            if Arc::ptr_eq(&generation, &current.load()) {
                break;
            }
        }
        assembly.readiness.enter(Phase::Ready);
        introduce(&source, addresses);
        std::future::pending::<()>().await;
    };

    let reloading = reload(Arc::clone(&assembly), Arc::clone(&current), &config, &source);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        failed = reloading => failed?,
        () = starting => {}
    }

    tracing::info!("draining");
    assembly.readiness.enter(Phase::Draining);
    // Nothing runs there that could end by itself.
    assembly.sessions.streams().end_all();
    let last = current.load_full();
    if tokio::time::timeout(last.drain_timeout, assembly.running.ended()).await.is_err() {
        tracing::warn!("requests still run after the drain timeout and are ended");
    }
    drain.start();
    // They end within their own grace.
    let _ = tokio::join!(serving, serving_admin, OptionFuture::from(serving_replicas));
    let closing: Vec<_> = last.backends().collect();
    let closing = closing.iter().map(|backend| backend.close());
    if tokio::time::timeout(CLOSE_TIMEOUT, futures_util::future::join_all(closing)).await.is_err() {
        tracing::warn!("an upstream did not end in time");
    }
    tracing::info!("ended");
    Ok(())
}

/// How many connections a listener has at a time: clients keep some that are
/// idle, and streams that stand open take some.
const fn max_connections(config: &Config) -> usize {
    config.limits.max_concurrent_requests.saturating_mul(4).saturating_add(MAX_STREAMS)
}

/// Says how to reach a gateway that has no file.
fn introduce(source: &Source, (main, admin): (SocketAddr, SocketAddr)) {
    if let Source::BuiltIn { key, banner } = source {
        // Nobody may be there to read it.
        let _ = write!(std::io::stdout().lock(), "{}", banner(main, admin, key.text.expose()));
    }
}

/// Says once what is missing where sessions matter. A gateway for this machine
/// alone is no replica of another.
fn warn_of_lost_sessions(config: &Config) {
    if config.session_keys.is_empty() && !config.listen.ip().is_loopback() {
        tracing::warn!(
            key = "sessions.keys",
            "is not configured: sessions of clients end with this process, and no replica knows them"
        );
    }
}

/// Takes each good configuration whole and keeps the last good one.
pub(super) async fn reload(
    assembly: Arc<Assembly>,
    current: Arc<ArcSwap<Generation>>,
    first: &Config,
    source: &Source,
) -> anyhow::Result<()> {
    let Source::File(path) = source else { return std::future::pending().await };
    let mut reloads = Reloads::of(path.clone(), first).context("changes of the configuration cannot be noticed")?;
    loop {
        let config = match reloads.next(|| current.load().models.any_failed()).await {
            Ok(config) => config,
            Err(faults) => {
                let (faults, warnings): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| is_error(fault));
                for fault in warnings {
                    tracing::warn!(%fault, "questionable configuration");
                }
                for fault in faults {
                    tracing::error!(%fault, "the changed configuration has a fault");
                }
                tracing::error!("the changed configuration is not taken; the last good one stays");
                assembly.metrics.config_reload(false);
                continue;
            }
        };
        for warning in &config.warnings {
            tracing::warn!(fault = %warning, "questionable configuration");
        }
        warn_of_restart(first, &config);
        let last = current.load_full();
        match assembly.generation(&config, Some(&last)) {
            Ok(generation) => {
                current.store(Arc::new(generation));
                assembly.metrics.config_reload(true);
                tracing::info!("the changed configuration is in force");
                assembly.sessions.streams().enter(current.load().since);
                retire(&assembly, &last, &current.load());
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the changed configuration is not taken; the last good one stays"
                );
                assembly.metrics.config_reload(false);
            }
        }
    }
}

/// Says what a reload does not change.
fn warn_of_restart(first: &Config, now: &Config) {
    let fixed = [
        ("listen", first.listen == now.listen),
        ("admin.listen", first.admin_listen == now.admin_listen),
        ("tls", first.tls == now.tls),
        ("replicas", first.replicas == now.replicas),
        ("telemetry.log", first.log == now.log),
    ];
    for (key, _) in fixed.iter().filter(|(_, same)| !same) {
        tracing::warn!(key, "takes effect with a restart only");
    }
    if first.limits.max_concurrent_requests != now.limits.max_concurrent_requests {
        tracing::warn!(
            key = "limits.maxConcurrentRequests",
            connections = max_connections(first),
            "is in force for requests; the number of connections changes with a restart only"
        );
    }
}

/// Closes the upstreams and models that the new generation does not have, once
/// the calls that the last one began have had their time.
fn retire(assembly: &Assembly, last: &Generation, now: &Generation) {
    let drain_timeout = now.drain_timeout;
    let is_kept = |old: &Arc<dyn Backend>| now.backends().any(|new| Arc::ptr_eq(old, &new));
    for backend in last.backends().filter(|backend| !is_kept(backend)) {
        backend.retire();
        if !now.upstreams.contains_key(backend.name()) {
            assembly.metrics.upstream_removed(backend.name());
        }
        if now.models.backend(backend.name()).is_none() {
            assembly.metrics.model(backend.name()).removed();
        }
        tokio::spawn(async move {
            tokio::time::sleep(drain_timeout).await;
            backend.close().await;
        });
    }
}

/// SIGHUP also means that the audit log was moved away.
async fn hang_up(current: Arc<ArcSwap<Generation>>) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
    while hang_up.recv().await.is_some() {
        if let Some((_, audit)) = &current.load().audit {
            audit.reopen();
        }
    }
}

/// Ends what is idle.
pub(super) async fn sweep(assembly: Arc<Assembly>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        assembly.limiters.sweep();
        assembly.metrics.sessions(assembly.sessions.sweep(IDLE_TIMEOUT));
    }
}
