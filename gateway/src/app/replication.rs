//! The process as one of several replicas: its listener for the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower_service::Service;

use super::assembly::Assembly;
use super::generation::Generation;
use crate::listener::{self, DrainSignal, ListenerSettings, TlsAcceptor};
use crate::replicas::{ReplicaSettings, Replicas, server_config};
use crate::stack::ReplicaBody;

/// Each of the others has one, and another while that one ends.
const MAX_CONNECTIONS: usize = 512;
/// Requests on one of them.
const MAX_STREAMS: u32 = 8_192;
/// As much as a client may send, and what is vouched for besides.
const MAX_HEAD_BYTES: u32 = 128 * 1024;
/// Longer than the others leave a connection idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Longer than a request that was passed on may last. The others end what a
/// client of theirs does not take: there it hurts one client, here it would
/// hurt all whose answers share the connection.
const STALL_TIMEOUT: Duration = Duration::from_secs(70 * 60);

/// The listener for the other replicas.
pub(super) struct Replication {
    listener: TcpListener,
    tls: Arc<TlsAcceptor>,
}

/// Serves each request with the generation that is in force when it comes.
#[derive(Clone)]
struct Current(Arc<ArcSwap<Generation>>);

// === impl Replication ===

impl Replication {
    /// Listens for the other replicas, and has tokens say from now on where they
    /// reach this one. To be called before the first generation is built.
    pub(super) fn listen(assembly: &Assembly, settings: &ReplicaSettings) -> anyhow::Result<Self> {
        let listener = listener::bind("replicas", settings.listen)
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let own = settings.advertise.at(listener.local_addr()?.port());
        let replicas = Replicas::new(Arc::clone(&own), &assembly.keys, Arc::clone(&assembly.metrics))?;
        let tls = TlsAcceptor::of(server_config(&assembly.keys)?);
        tracing::info!(replica = %own, "other replicas reach this one by this address");
        assembly.keys.settle(own);
        // Called once a process.
        let _ = assembly.replicas.set(Arc::new(replicas));
        Ok(Self { listener, tls })
    }

    /// Serves the other replicas until the process drains; then what still runs
    /// has `drain_timeout`.
    pub(super) async fn serve(self, current: Arc<ArcSwap<Generation>>, drain_timeout: Duration, drain: DrainSignal) {
        let settings = ListenerSettings {
            max_connections: MAX_CONNECTIONS,
            idle_timeout: IDLE_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
            drain_timeout,
            max_head_bytes: MAX_HEAD_BYTES,
            max_streams: MAX_STREAMS,
            bounds_resets: false,
            ..ListenerSettings::default()
        };
        listener::serve(self.listener, Some(self.tls), settings, Current(current), drain).await;
    }
}

// === impl Current ===

impl Service<Request<Incoming>> for Current {
    type Response = Response<ReplicaBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let generation = self.0.load();
        let mut stack = generation.replicas.clone().expect("every generation of a replica has it");
        stack.call(request)
    }
}
