use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis_policies::yaml::Fault;
use tracing::level_filters::LevelFilter;

use super::load::{Loaded, load};
use super::*;
use crate::auth::{Algorithm, JwksSource};
use crate::backends::settings::{HttpSettings, TransportSettings};
use crate::telemetry::LogFormat;

mod faults;
mod models;
mod together;
mod warnings;

/// The documented configuration, nearly: all keys there are.
const COMPLETE: &str = include_str!("tests/complete.yaml");
const POLICY: &str = "policies:\n  - name: all\n    tools: {allow: [\"*\"]}\n";
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A folder with what configurations name.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("policies")).unwrap();
        for (name, content) in [
            ("policies/all.yaml", POLICY),
            ("server.crt", include_str!("tests/server.crt")),
            ("server.key", include_str!("tests/server.key")),
            ("other.key", include_str!("tests/other.key")),
            ("secret.txt", "hunter2\n"),
            ("new.key", "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n"),
            ("jwks.json", r#"{"keys":[]}"#),
        ] {
            fs::write(path.join(name), content).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn load(&self, text: &str, linting: bool) -> Loaded {
        let path = self.path().join("portcullis.yaml");
        fs::write(&path, text).unwrap();
        let environment = |name: &str| match name {
            "CRM_TOKEN" => Some("sesame".to_owned()),
            "OLD_KEY" => Some(DIGEST.to_owned()),
            "POD_ADDRESS" => Some("10.0.0.7:7443".to_owned()),
            _ => None,
        };
        load(&path, &environment, linting)
    }

    fn config(&self, text: &str) -> Config {
        self.load(text, false).outcome.unwrap_or_else(|faults| panic!("{faults:#?}"))
    }
}

/// What is said of a fault, without the folder.
fn said(folder: &Folder, fault: &Fault) -> String {
    let path = format!("{}/", folder.path().display());
    format!("{}:{}: {}", fault.line, fault.path, fault.message.replace(&path, ""))
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let folder = Folder::new();
    let config = folder.config(COMPLETE);
    let at = |name: &str| folder.path().join(name);

    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.public_url.unwrap().as_str(), "https://mcp.example.com/");
    assert_eq!(config.allowed_origins, ["https://console.example.com".parse().unwrap()]);
    assert_eq!(config.separator, "__");
    let tls = config.tls.unwrap();
    assert_eq!((tls.cert, tls.key, tls.client_ca), (at("server.crt"), at("server.key"), Some(at("server.crt"))));
    assert_eq!(config.network.allow.len(), 2);
    assert_eq!(config.network.deny[0].to_string(), "10.9.9.9/32");
    assert_eq!(config.network.trusted_proxies[0].to_string(), "10.0.0.1/32");
    assert_eq!(
        config.limits,
        Limits {
            max_body_bytes: 4 << 20,
            request_timeout: Duration::from_secs(60),
            max_concurrent_requests: 1024,
            drain_timeout: Duration::from_secs(30),
        }
    );
    assert_eq!((config.log.format, config.log.level), (LogFormat::Text, LevelFilter::DEBUG));
    let audit = config.audit.unwrap();
    assert_eq!((audit.file, audit.include_arguments), (at("audit.jsonl"), false));
    let keys: Vec<_> = config.session_keys.iter().map(|key| key.expose().as_str()).collect();
    assert_eq!(keys, ["n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", DIGEST]);
    let replicas = config.replicas.unwrap();
    assert_eq!((replicas.listen.to_string().as_str(), &*replicas.advertise.at(1)), ("0.0.0.0:7443", "10.0.0.7:7443"));
    assert_eq!(config.policies.names().collect::<Vec<_>>(), ["all"]);
    assert_eq!(config.warnings, []);
    for watched in ["portcullis.yaml", "policies", "policies/all.yaml", "secret.txt", "new.key"] {
        assert!(config.watched.contains(&at(watched)), "{watched}");
    }
}

#[test]
fn authentication_arrives_where_it_belongs() {
    let auth = Folder::new().config(COMPLETE).auth;
    assert_eq!(auth.anonymous, Some(vec!["guest".to_owned()]));
    let keys = auth.api_keys.unwrap();
    assert_eq!(keys.header, "x-api-key");
    assert_eq!((keys.keys[0].name.as_str(), keys.keys[0].sha256[0]), ("ci", 0x9f));
    assert!(keys.keys[0].expires.is_some());
    let [first, second] = auth.jwt.as_slice() else { panic!("{:?}", auth.jwt) };
    assert_eq!(first.audiences[0], "https://mcp.example.com/mcp", "the public URL's endpoint");
    let of_a_server = "https://mcp.example.com/servers/crm/mcp".to_owned();
    assert!(first.audiences.contains(&of_a_server), "{:?}", first.audiences);
    assert_eq!(first.jwks, JwksSource::Url("https://idp.example.com/jwks".parse().unwrap()));
    assert_eq!(first.algorithms, [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
    assert_eq!(first.roles_claim.as_deref(), Some("groups"));
    assert_eq!(first.required_scopes, ["mcp"]);
    assert_eq!((second.audiences[0].as_str(), &second.jwks), ("portcullis", &JwksSource::Discovery));
}

#[test]
fn upstreams_keep_their_order_and_both_sections_count() {
    let folder = Folder::new();
    let config = folder.config(COMPLETE);
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(names, ["crm", "files", "everything"], "a disabled one is left out");

    let crm = &config.upstreams[0];
    let TransportSettings::Http(http) = &crm.transport else { panic!("{crm:?}") };
    assert_eq!(http.url, "http://crm:8000/mcp");
    assert_eq!(http.headers[0], ("x-team".parse().unwrap(), "sales".parse().unwrap()));
    assert_eq!(http.headers[1], (http::header::AUTHORIZATION, "Bearer sesame".parse().unwrap()));
    assert!(http.headers.iter().all(|(_, value)| value.is_sensitive()));
    assert_eq!(crm.tools.rename["find"], "search");
    let [(name, limit)] = config.upstream_limits.as_slice() else { panic!("{:?}", config.upstream_limits) };
    assert_eq!((&**name, limit.rate().to_string().as_str()), ("crm", "1000/minute"));
    assert_eq!(limit.policy(), "upstream crm");

    let TransportSettings::Stdio(files) = &config.upstreams[1].transport else { panic!() };
    assert_eq!(
        (files.command.as_str(), files.args.as_slice()),
        ("mcp-server-filesystem", &["/srv/docs".to_owned()][..])
    );
    assert_eq!(files.env["MCP_LOG_LEVEL"].expose(), "info");
    assert_eq!(files.cwd.as_deref(), Some(folder.path().join(".").as_path()));

    let TransportSettings::Http(everything) = &config.upstreams[2].transport else { panic!() };
    assert_eq!(everything.headers[0].1, "hunter2", "the line break at the end of a secret's file is not part of it");
    assert!(!format!("{config:?}").contains("sesame") && !format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_type_or_the_url_tells_how_a_server_is_reached() {
    let reached = |entry: &str| {
        let config = Folder::new().config(&format!("mcpServers: {{\"a\": {{{entry}}}}}"));
        let of = |kind: &str, http: &HttpSettings| format!("{kind} {}", http.url);
        match &config.upstreams[0].transport {
            TransportSettings::Http(http) => of("http", http),
            TransportSettings::EventSource(http) => of("sse", http),
            TransportSettings::WebSocket(http) => of("ws", http),
            TransportSettings::Stdio(_) => "stdio".to_owned(),
            TransportSettings::Demo => "demo".to_owned(),
        }
    };
    for kind in ["http", "streamable-http", "streamableHttp", "streamable_http"] {
        assert_eq!(reached(&format!(r#""type": "{kind}", "url": "https://a/mcp""#)), "http https://a/mcp");
    }
    assert_eq!(reached(r#""url": "http://a:1/mcp""#), "http http://a:1/mcp");
    assert_eq!(reached(r#""type": "sse", "url": "https://a/sse?x=1""#), "sse https://a/sse?x=1");
    assert_eq!(reached(r#""url": "wss://a/ws""#), "ws https://a/ws");
    for kind in ["ws", "websocket"] {
        assert_eq!(reached(&format!(r#""type": "{kind}", "url": "ws://a:80/ws""#)), "ws http://a/ws");
        assert_eq!(reached(&format!(r#""transport": "{kind}", "url": "https://a/ws""#)), "ws https://a/ws");
    }
    assert_eq!(reached(r#""type": "stdio", "command": "x", "args": ["y"]"#), "stdio");
}

#[test]
fn an_empty_file_has_the_defaults() {
    let config = Folder::new().config("");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LevelFilter::INFO));
    assert!(config.upstreams.is_empty() && config.audit.is_none() && config.tls.is_none());
}

#[test]
fn the_built_in_default_serves_the_demo_to_its_key_alone() {
    let key = NewKey::generate().unwrap();
    let config = Config::built_in(key.sha256);
    assert!(config.listen.ip().is_loopback() && config.admin_listen.ip().is_loopback());
    assert_eq!(config.auth.api_keys.unwrap().keys[0].sha256, key.sha256);
    assert_eq!(config.auth.anonymous, None);
    assert_eq!(config.upstreams[0].transport, TransportSettings::Demo);
    assert_eq!(config.warnings, []);
    use portcullis_policies::{CallFacts, Principal, Target};
    let allowed = |role: &str, tool| {
        let principal = Principal::new("apiKey:demo").with_roles([role.to_owned()]);
        config.policies.access(&principal, Target::Tool(tool)).decide(&CallFacts::default()).is_allowed()
    };
    assert!(allowed("demo", "demo__add"));
    assert!(!allowed("demo", "crm__add") && !allowed("other", "demo__add"));
}

#[test]
fn the_schema_takes_the_documented_configuration_and_refuses_what_is_not_served() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = |text: &str| portcullis_policies::yaml::Document::parse(text, "x").unwrap();
    assert!(validator.is_valid(document(COMPLETE).value()));
    for text in ["models: {x: {}}", "rateLimits: {}", "upstreams: {x: {openapi: {}}}", "listen: 8080"] {
        assert!(!validator.is_valid(document(text).value()), "{text}");
    }
    assert_eq!(schema["properties"]["listen"]["default"], "127.0.0.1:8080");
}

#[test]
fn a_glob_names_every_file_that_fits_once_and_none_that_is_hidden() {
    let folder = Folder::new();
    let write = |name: &str, policy: &str| {
        let path = folder.path().join("policies").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, POLICY.replace("name: all", &format!("name: {policy}"))).unwrap();
    };
    write("b.yaml", "b");
    write("team/c.yaml", "c");
    write(".swap.yaml", "hidden");
    write("..data/all.yaml", "mounted");
    write("notes.txt", "notes");
    let names = |patterns: &str| -> Vec<String> {
        let config = folder.config(&format!("policies: {patterns}"));
        config.policies.names().map(str::to_owned).collect()
    };
    assert_eq!(names("[\"policies/*.yaml\"]"), ["all", "b"]);
    assert_eq!(names("[\"policies/*.yaml\", policies/b.yaml]"), ["all", "b"]);
    assert_eq!(names("[\"policies/**/*.yaml\"]"), ["all", "b", "c"]);
    assert_eq!(names("[\"policies/*/*.yaml\"]"), ["c"]);
    assert_eq!(names("[policies/b.yaml]"), ["b"]);
    assert_eq!(names("[./policies/./b.yaml, \"./policies/b*.yaml\"]"), ["b"]);
    let absolute = format!("[\"{}/policies/a*.yaml\"]", folder.path().display());
    assert_eq!(names(&absolute), ["all"]);
}
