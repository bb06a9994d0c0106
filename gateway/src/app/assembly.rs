//! Builds a generation from a configuration.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use http::HeaderValue;
use portcullis_policies::Limit;

use super::generation::{Generation, Upstreams};
use super::live::Live;
use super::models::Models;
use crate::admin::Readiness;
use crate::audit::{AuditLog, AuditSettings};
use crate::auth::Authenticator;
use crate::backends::settings::{TransportSettings, UpstreamSettings};
use crate::backends::transport::Transport;
use crate::backends::transport::demo::DemoTransport;
use crate::backends::transport::event_source::EventSourceTransport;
use crate::backends::transport::fallback::FallbackTransport;
use crate::backends::transport::stdio::StdioTransport;
use crate::backends::transport::websocket::WebSocketTransport;
use crate::backends::upstream::Upstream;
use crate::backends::{Backend, Backends};
use crate::config::Config;
use crate::http_client::HttpClient;
use crate::mcp::session::{MAX_SESSIONS, Sessions};
use crate::metrics::Metrics;
use crate::middleware::decode::{ConnectionSettings, DecodeSettings, EventSources};
use crate::middleware::meter::Audit;
use crate::middleware::origin::{OriginSettings, WebOrigin};
use crate::middleware::rate_limit::LimiterStore;
use crate::middleware::respond::PublicUrl;
use crate::replicas::Replicas;
use crate::running::Running;
use crate::seal::KeyRing;
use crate::stack::{self, Parts, Stacks};
use crate::telemetry::AccessLog;

/// What outlives every configuration.
pub(super) struct Assembly {
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Readiness,
    pub(super) running: Arc<Running>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) limiters: LimiterStore,
    /// The other replicas, where this process is one of several.
    pub(super) replicas: OnceLock<Arc<Replicas>>,
    live: Arc<Live>,
    event_sources: Arc<EventSources>,
    access_log: AccessLog,
}

// === impl Assembly ===

impl Assembly {
    pub(super) fn new(access_log: AccessLog) -> anyhow::Result<Self> {
        let keys = Arc::new(KeyRing::new().context("the system gives no random numbers")?);
        Ok(Self {
            metrics: Arc::new(Metrics::new()),
            readiness: Readiness::new(),
            running: Arc::default(),
            sessions: Arc::new(Sessions::new(MAX_SESSIONS, Arc::clone(&keys))),
            keys,
            limiters: LimiterStore::default(),
            replicas: OnceLock::new(),
            live: Arc::default(),
            event_sources: Arc::default(),
            access_log,
        })
    }

    /// Builds what the configuration says, taking over from `last` what did
    /// not change.
    pub(super) fn generation(&self, config: &Config, last: Option<&Generation>) -> anyhow::Result<Generation> {
        let client = HttpClient::new(needs_tls(config));
        let authenticator = match last.map(|last| &last.authenticator) {
            Some((settings, authenticator)) if *settings == config.auth => Arc::clone(authenticator),
            _ => Arc::new(
                Authenticator::new(&config.auth, &client, Arc::clone(&self.metrics))
                    .context("authentication cannot be set up")?,
            ),
        };
        let audit = match (&config.audit, last.and_then(|last| last.audit.as_ref())) {
            (None, _) => None,
            // A log is open once; what its entries hold may change.
            (Some(settings), Some((old, log))) if settings.file == old.file => {
                Some((settings.clone(), Arc::clone(log)))
            }
            (Some(settings), _) => Some((settings.clone(), open(settings)?)),
        };
        // Last of what can fail: upstreams begin to work as soon as they are there.
        let upstreams = self.upstreams(config, last, &client)?;
        let separator: Arc<str> = config.separator.as_str().into();
        let models = Models::start(&config.models, last.map(|last| &last.models), &self.metrics);
        let in_order = config.upstreams.iter().map(|upstream| Arc::clone(&upstreams[&upstream.name].1));
        let in_order = in_order.chain(config.models.iter().filter_map(|model| models.backend(&model.name)));
        let backends = Arc::new(Backends::new(in_order.collect(), Arc::clone(&separator)));
        let since = backends.since();
        let parts = Parts {
            metrics: Arc::clone(&self.metrics),
            access_log: self.access_log.clone(),
            audit: audit
                .as_ref()
                .map(|(settings, log)| Audit { log: Arc::clone(log), include_arguments: settings.include_arguments }),
            readiness: self.readiness.clone(),
            running: Arc::clone(&self.running),
            max_concurrent_requests: config.limits.max_concurrent_requests,
            public_url: PublicUrl::new(config.public_url.as_ref(), config.tls.is_some()),
            network: Arc::new(config.network.clone()),
            origins: Arc::new(origins(config)),
            allowed_origins: config
                .allowed_origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(&origin.to_string()).ok())
                .collect(),
            issuers: config.auth.jwt.iter().map(|jwt| jwt.issuer.clone()).collect(),
            scopes: scopes(config),
            authenticator: Arc::clone(&authenticator),
            decode: DecodeSettings {
                max_body_bytes: config.limits.max_body_bytes,
                request_timeout: config.limits.request_timeout,
                separator: Arc::clone(&separator),
                connections: ConnectionSettings {
                    running: Arc::clone(&self.running),
                    max_running: config.limits.max_concurrent_requests,
                    event_sources: Arc::clone(&self.event_sources),
                },
                // Not for everything that is decoded.
                replicas: None,
            },
            sessions: Arc::clone(&self.sessions),
            policies: Arc::clone(&config.policies),
            quotas: Arc::new(self.limiters.quotas(
                config.policies.limits(),
                upstream_limits(config),
                Arc::clone(&separator),
            )),
            backends,
            replicas: self.replicas.get().cloned(),
        };
        // Nothing fails any more. What the last configuration's requests seal
        // from here on is sealed with the new key already.
        self.keys.replace(&config.session_keys);
        let Stacks { http, messages, calls, replicas } = stack::build(parts);
        self.live.replace(calls);
        Ok(Generation {
            stack: http,
            messages,
            replicas,
            upstreams,
            models,
            separator: config.separator.clone(),
            since,
            authenticator: (config.auth.clone(), authenticator),
            audit,
            drain_timeout: config.limits.drain_timeout,
        })
    }

    fn upstreams(&self, config: &Config, last: Option<&Generation>, client: &HttpClient) -> anyhow::Result<Upstreams> {
        let kept = last.filter(|last| last.separator == config.separator).map(|last| &last.upstreams);
        let mut upstreams = HashMap::new();
        for settings in &config.upstreams {
            let backend = match kept.and_then(|kept| kept.get(&settings.name)) {
                Some((old, backend)) if old == settings => Arc::clone(backend),
                _ => self.start(settings, &config.separator, client)?,
            };
            upstreams.insert(Arc::clone(&settings.name), (settings.clone(), backend));
        }
        Ok(upstreams)
    }

    fn start(
        &self,
        settings: &UpstreamSettings,
        separator: &str,
        client: &HttpClient,
    ) -> anyhow::Result<Arc<dyn Backend>> {
        let (name, retry) = (Arc::clone(&settings.name), settings.retry);
        let transport: Arc<dyn Transport> = match &settings.transport {
            TransportSettings::Http(http) => FallbackTransport::new(name, http.clone(), client, retry),
            TransportSettings::EventSource(http) => EventSourceTransport::new(name, http.clone(), client, retry),
            TransportSettings::WebSocket(http) => WebSocketTransport::new(name, http.clone(), client, retry),
            TransportSettings::Stdio(stdio) => StdioTransport::new(name, stdio.clone(), retry),
            TransportSettings::Demo => DemoTransport::new(),
        };
        let (keys, calls) = (Arc::clone(&self.keys), Arc::clone(&self.live));
        let upstream = Upstream::start(settings.clone(), separator, transport, Arc::clone(&self.metrics), keys, calls)
            .with_context(|| format!("the tool selection of upstream {} is malformed", settings.name))?;
        Ok(upstream)
    }
}

fn open(settings: &AuditSettings) -> anyhow::Result<Arc<AuditLog>> {
    Ok(Arc::new(AuditLog::open(settings)?))
}

/// Whether anything is called over TLS.
fn needs_tls(config: &Config) -> bool {
    let is_https = |upstream: &UpstreamSettings| match &upstream.transport {
        TransportSettings::Http(http) | TransportSettings::EventSource(http) | TransportSettings::WebSocket(http) => {
            http.url.scheme() == Some(&http::uri::Scheme::HTTPS)
        }
        TransportSettings::Stdio(_) | TransportSettings::Demo => false,
    };
    config.auth.fetches_over_tls() || config.upstreams.iter().any(is_https)
}

fn origins(config: &Config) -> OriginSettings {
    OriginSettings {
        allowed: config.allowed_origins.clone(),
        public: config.public_url.as_ref().and_then(|url| WebOrigin::of(url).ok()),
        loopback: config.listen.ip().is_loopback(),
    }
}

/// The scopes that every token needs, whoever issued it.
fn scopes(config: &Config) -> Arc<[String]> {
    let mut scopes: Vec<String> = config.auth.jwt.iter().flat_map(|jwt| jwt.required_scopes.clone()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}

/// The limits of each upstream.
fn upstream_limits(config: &Config) -> HashMap<Arc<str>, Vec<Arc<Limit>>> {
    let mut limits: HashMap<Arc<str>, Vec<Arc<Limit>>> = HashMap::new();
    for (upstream, limit) in &config.upstream_limits {
        limits.entry(Arc::clone(upstream)).or_default().push(Arc::new(limit.clone()));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LineQueue, LogSettings, Sink};

    #[tokio::test]
    async fn whether_arguments_are_recorded_changes_while_the_log_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let settings = LogSettings::default();
        let lines = LineQueue::start(Box::new(Sink::default()), settings.format);
        let assembly = Assembly::new(AccessLog::new(lines, settings)).unwrap();
        let mut config = Config::built_in([0; 32]);
        config.models = Vec::new();
        let file = folder.path().join("audit.jsonl");
        config.audit = Some(AuditSettings { file: file.clone(), include_arguments: false });
        let first = assembly.generation(&config, None).unwrap();
        config.audit = Some(AuditSettings { file, include_arguments: true });
        let second = assembly.generation(&config, Some(&first)).unwrap();
        let (first, second) = (first.audit.unwrap(), second.audit.unwrap());
        assert!(Arc::ptr_eq(&first.1, &second.1));
        assert!(second.0.include_arguments);
    }
}
