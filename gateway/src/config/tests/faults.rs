//! Each fault with its line and path.

use super::*;

/// What is said about a text that must not be taken.
fn faults(text: &str) -> Vec<String> {
    let folder = Folder::new();
    let faults = folder.load(text, false).outcome.err().unwrap_or_else(|| panic!("accepted: {text}"));
    faults.iter().filter(|fault| is_error(fault)).map(|fault| said(&folder, fault)).collect()
}

#[track_caller]
fn assert_fault(text: &str, beginning: &str) {
    let faults = faults(text);
    let [fault] = faults.as_slice() else { panic!("not one fault: {faults:#?}\n{text}") };
    assert!(fault.starts_with(beginning), "{fault}\ndoes not begin with\n{beginning}");
}

#[test]
fn a_value_of_the_wrong_form_is_reported_where_it_stands() {
    for (text, fault) in [
        ("listen: localhost:8080", "1:listen: `localhost:8080` is not an IP address with a port"),
        ("limits:\n  requestTimeout: 30", "2:limits.requestTimeout: `30` is not a length of time: write 500ms, 30s"),
        ("limits:\n  requestTimeout: 30 sec", "2:limits.requestTimeout: `30 sec` is not a length of time"),
        ("limits:\n  requestTimeout: 0s", "2:limits.requestTimeout: must be longer than nothing"),
        ("limits: {maxBody: 4 megs}", "1:limits.maxBody: `4 megs` is not a size"),
        ("limits: {maxBody: 10}", "1:limits.maxBody: must lie between 1KiB and 1024MiB"),
        ("limits: {maxConcurrentRequests: 0}", "1:limits.maxConcurrentRequests: "),
        ("limits: {maxConcurrentRequests: 4000000}", "1:limits.maxConcurrentRequests: must not be more than"),
        ("network:\n  allow:\n    - 10.0.0.0/8\n    - ten", "4:network.allow[1]: \"ten\" is not an address or range"),
        ("allowedOrigins: [https://a.example/x]", "1:allowedOrigins[0]: an origin ends after its host and port"),
        ("publicUrl: mcp.example.com", "1:publicUrl: is not an absolute URL"),
        ("publicUrl: ftp://mcp.example.com", "1:publicUrl: must begin with https:// or http://"),
        ("publicUrl: https://mcp.example.com/?a=b", "1:publicUrl: must not have a query"),
        ("telemetry: {log: {level: loud}}", "1:telemetry.log.level: `loud` is not one of"),
        ("telemetry: {audit: {file: nowhere/a.jsonl}}", "1:telemetry.audit.file: `nowhere/a.jsonl` lies in a folder"),
        ("telemetry: {audit: {file: policies}}", "1:telemetry.audit.file: `policies` is a folder"),
        ("listen: 127.0.0.1:9090", "1:admin.listen: 127.0.0.1:9090 is what `listen` says already"),
        ("- a", "1:: must be a mapping"),
        ("a: [", "2:a: not readable as YAML"),
    ] {
        assert_fault(text, fault);
    }
}

#[test]
fn a_key_that_means_nothing_is_reported_with_what_was_meant() {
    let folder = Folder::new();
    for (text, path, suggestion) in [
        ("lisen: 127.0.0.1:1", "lisen", Some("listen")),
        ("limits: {max_body: 1MiB}", "limits.max_body", Some("maxBody")),
        ("upstreams:\n  crm: {ulr: http://x/}", "upstreams.crm.ulr", Some("url")),
        ("auth: {apikeys: {}}", "auth.apikeys", Some("apiKeys")),
        ("webhooks: {}", "webhooks", None),
        ("telemetry: {otlp: {}}", "telemetry.otlp", None),
    ] {
        let faults = folder.load(text, false).outcome.unwrap_err();
        let fault = faults.iter().find(|fault| fault.path == path).unwrap_or_else(|| panic!("{faults:?}"));
        assert!(fault.message.starts_with("unknown key"), "{fault}");
        assert_eq!(fault.suggestion.as_deref(), suggestion, "{fault}");
    }
}

#[test]
fn an_open_listener_without_authentication_is_refused() {
    for address in ["0.0.0.0:8080", "10.0.0.1:8080", "\"[::]:8080\""] {
        let text = format!("admin: {{}}\nlisten: {address}");
        let faults = faults(&text);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("2:listen: ") && faults[0].contains("no authentication"), "{faults:?}");
        let folder = Folder::new();
        for auth in [
            "{anonymous: {roles: [guest]}}".to_owned(),
            format!("{{apiKeys: {{keys: [{{name: a, sha256: \"{DIGEST}\"}}]}}}}"),
            "{jwt: [{issuer: https://idp.example.com, audiences: [x]}]}".to_owned(),
        ] {
            folder.config(&format!("{text}\nauth: {auth}\n"));
        }
    }
    Folder::new().config("listen: \"[::1]:8080\"");
}

#[test]
fn a_fault_in_session_keys_is_reported_where_it_stands() {
    for (keys, fault) in [
        ("[]", "1:sessions.keys: must not be empty"),
        ("[{file: secret.txt}]", "1:sessions.keys[0]: holds less than 32 random bytes"),
        ("[{file: no.key}]", "1:sessions.keys[0].file: `no.key` cannot be read"),
        ("[{env: NO_KEY}]", "1:sessions.keys[0].env: the environment variable `NO_KEY` is not set"),
        ("[{file: new.key}, {file: new.key}]", "1:sessions.keys[1]: the same key stands before it already"),
        ("{file: new.key}", "1:sessions.keys: "),
    ] {
        assert_fault(&format!("sessions: {{keys: {keys}}}"), fault);
    }
    let hex = "0".repeat(64);
    assert_fault(&format!("sessions: {{keys: [\"{hex}\"]}}"), "1:sessions.keys[0]: is not random");
}

#[test]
fn replicas_need_keys_and_an_address_of_their_own() {
    let keys = "sessions: {keys: [{file: new.key}]}\n";
    assert_fault("replicas: {listen: \"127.0.0.1:7443\"}", "1:replicas: needs `sessions.keys`");
    for (replicas, fault) in [
        ("{listen: \"127.0.0.1:8080\"}", "2:replicas.listen: 127.0.0.1:8080 is what `listen` says already"),
        ("{listen: \"127.0.0.1:9090\"}", "2:replicas.listen: 127.0.0.1:9090 is what `admin.listen` says already"),
        ("{listen: \"0.0.0.0:7443\"}", "2:replicas.advertise: is needed: nobody reaches another machine by 0.0.0.0"),
        ("{listen: \"0.0.0.0:7443\", advertise: \"[::]\"}", "2:replicas.advertise: `[::]` is not an address or a name"),
        ("{listen: \"0.0.0.0:7443\", advertise: {env: NO_ADDRESS}}", "2:replicas.advertise.env: the environment"),
        ("{advertise: 10.0.0.7}", "2:replicas: the key `listen` is missing"),
    ] {
        assert_fault(&format!("{keys}replicas: {replicas}"), fault);
    }
}

#[test]
fn files_of_tls_must_be_there_and_fit() {
    for (tls, fault) in [
        ("{cert: server.crt, key: no.key}", "1:tls.key: `no.key` cannot be read"),
        ("{cert: no.crt, key: server.key}", "1:tls.cert: `no.crt` cannot be read"),
        ("{cert: server.crt, key: server.key, clientCa: no.crt}", "1:tls.clientCa: `no.crt` cannot be read"),
        ("{cert: secret.txt, key: server.key}", "1:tls.cert: "),
        ("{cert: server.crt, key: secret.txt}", "1:tls.key: "),
        ("{cert: server.crt, key: server.key, clientCa: secret.txt}", "1:tls.clientCa: "),
        ("{cert: server.crt, key: other.key}", "1:tls: the certificate cannot be used with the key"),
        ("{cert: server.crt}", "1:tls: the key `key` is missing"),
    ] {
        assert_fault(&format!("tls: {tls}"), fault);
    }
}

#[test]
fn a_fault_in_api_keys_is_reported_where_it_stands() {
    let other = DIGEST.replace('9', "8");
    let keys = |keys: &str| format!("auth:\n  apiKeys:\n    keys:\n{keys}");
    let key = |name: &str, digest: &str| format!("      - {{name: {name}, sha256: \"{digest}\"}}\n");
    for (text, fault) in [
        (
            keys(&(key("a", DIGEST) + &key("a", &other))),
            "5:auth.apiKeys.keys[1].name: `a` is the name of auth.apiKeys.keys[0] already",
        ),
        (
            keys(&(key("a", DIGEST) + &key("b", &DIGEST.to_uppercase()))),
            "5:auth.apiKeys.keys[1].sha256: the same key as auth.apiKeys.keys[0]",
        ),
        (keys(&key("a", "9f86")), "4:auth.apiKeys.keys[0].sha256: is not a SHA-256 digest"),
        (keys("      - {name: a}\n"), "4:auth.apiKeys.keys[0]: the key `sha256` is missing"),
        (keys("      []\n"), "3:auth.apiKeys.keys: must not be empty"),
        (keys(&key("\" a\"", DIGEST)), "4:auth.apiKeys.keys[0].name: must not begin or end with white space"),
        (
            keys(&key("a", DIGEST)) + "    header: Authorization\n",
            "5:auth.apiKeys.header: `Authorization: Bearer KEY` is accepted anyway",
        ),
        (keys(&key("a", DIGEST)) + "    header: Mcp-Session-Id\n", "5:auth.apiKeys.header: this header has another"),
        (
            keys(&format!("      - {{name: a, sha256: \"{DIGEST}\", expires: tomorrow}}\n")),
            "4:auth.apiKeys.keys[0].expires: `tomorrow` is not a moment",
        ),
    ] {
        assert_fault(&text, fault);
    }
}

#[test]
fn a_fault_in_a_token_issuer_is_reported_where_it_stands() {
    let jwt = |rest: &str| format!("auth:\n  jwt:\n    - issuer: https://idp.example.com\n{rest}");
    for (rest, fault) in [
        ("", "3:auth.jwt[0]: nothing says whom tokens must be for"),
        ("      audiences: []\n", "4:auth.jwt[0].audiences: must not be empty"),
        ("      audiences: [x]\n      algorithms: [none]\n", "5:auth.jwt[0].algorithms[0]: `none` would accept tokens"),
        ("      audiences: [x]\n      algorithms: [RS256, HS256]\n", "5:auth.jwt[0].algorithms[1]: `HS256` signs with"),
        ("      audiences: [x]\n      leeway: 1h\n", "5:auth.jwt[0].leeway: must not be longer than 5m"),
        ("      audiences: [x]\n      jwks: {file: no.json}\n", "5:auth.jwt[0].jwks.file: `no.json` cannot be read"),
        (
            "      audiences: [x]\n      jwks: {file: secret.txt}\n",
            "5:auth.jwt[0].jwks.file: `secret.txt` is not a JSON",
        ),
        ("      audiences: [x]\n      jwks: {url: ftp://a/b}\n", "5:auth.jwt[0].jwks.url: must begin with https://"),
        (
            "      audiences: [x]\n    - {issuer: https://idp.example.com, audiences: [y]}\n",
            "5:auth.jwt[1].issuer: the same issuer as auth.jwt[0]",
        ),
    ] {
        assert_fault(&jwt(rest), fault);
    }
    assert_fault(
        "auth: {jwt: [{issuer: joe, audiences: [x]}]}",
        "1:auth.jwt[0].issuer: without `jwks` the keys are found through the issuer",
    );
    Folder::new().config("auth: {jwt: [{issuer: joe, audiences: [x], jwks: {file: jwks.json}}]}");
}

#[test]
fn a_fault_in_an_upstream_is_reported_where_it_stands() {
    let upstream = |rest: &str| format!("upstreams:\n  crm:\n{rest}");
    for (rest, fault) in [
        ("    timeout: 5s\n", "2:upstreams.crm: nothing says how it is reached"),
        ("    url: http://a/\n    command: b\n", "2:upstreams.crm: is reached in one way only"),
        ("    url: ws://a/\n    type: http\n", "3:upstreams.crm.url: ws:// is WebSocket, which `type` contradicts"),
        ("    url: wss://a/\n    type: sse\n", "3:upstreams.crm.url: wss:// is WebSocket, which `type` contradicts"),
        ("    url: ftp://a/\n", "3:upstreams.crm.url: must begin with https://, http://, wss:// or ws://, not ftp://"),
        ("    command: a\n    type: sse\n", "4:upstreams.crm.type: this transport needs `url`"),
        ("    url: http://u:p@a/\n", "3:upstreams.crm.url: a URL must not hold a name or password"),
        ("    url: http://a/\n    type: stdio\n", "4:upstreams.crm.type: `stdio` needs `command`"),
        ("    command: a\n    type: http\n", "4:upstreams.crm.type: this transport needs `url`"),
        ("    url: http://a/\n    type: carrier-pigeon\n", "4:upstreams.crm.type: `carrier-pigeon` is not one of"),
        ("    url: http://a/\n    args: [b]\n", "4:upstreams.crm.args: belongs to an upstream with `command`"),
        ("    command: a\n    headers: {A: b}\n", "4:upstreams.crm.headers: belongs to an upstream with `url`"),
        (
            "    url: http://a/\n    headers: {\"A B\": c}\n",
            "4:upstreams.crm.headers[\"A B\"]: `A B` is not a header name",
        ),
        ("    url: http://a/\n    headers: {Host: c}\n", "4:upstreams.crm.headers.Host: `Host` is set by the gateway"),
        ("    url: http://a/\n    headers: {A: \"b\\nc\"}\n", "4:upstreams.crm.headers.A: cannot be sent in a header"),
        (
            "    url: http://a/\n    auth: {bearer: {env: NOPE}}\n",
            "4:upstreams.crm.auth.bearer.env: the environment variable `NOPE` is not set",
        ),
        (
            "    url: http://a/\n    auth: {bearer: {file: no.txt}}\n",
            "4:upstreams.crm.auth.bearer.file: `no.txt` cannot be read",
        ),
        ("    url: http://a/\n    auth: {bearer: {evn: NOPE}}\n", "4:upstreams.crm.auth.bearer"),
        ("    url: http://a/\n    auth: {bearer: \"\"}\n", "4:upstreams.crm.auth.bearer: the secret is empty"),
        (
            "    url: http://a/\n    headers: {Authorization: {env: CRM_TOKEN}}\n    auth: {bearer: {env: CRM_TOKEN}}\n",
            "5:upstreams.crm.auth.bearer: `authorization` stands under `headers` already",
        ),
        ("    url: http://a/\n    retry: {maxAttempts: 0}\n", "4:upstreams.crm.retry.maxAttempts: "),
        ("    url: http://a/\n    retry: {initial: 2m}\n", "4:upstreams.crm.retry.max: must not be shorter"),
        ("    url: http://a/\n    tools: {include: [\"\"]}\n", "4:upstreams.crm.tools.include[0]: an empty pattern"),
        (
            "    url: http://a/\n    tools: {rename: {a: x, b: x}}\n",
            "4:upstreams.crm.tools.rename.b: another tool is called `x`",
        ),
        ("    url: http://a/\n    tools: {rename: {a: \"x y\"}}\n", "4:upstreams.crm.tools.rename.a: a tool's name is"),
        (
            "    url: http://a/\n    rateLimits: [{limit: 5/fortnight}]\n",
            "4:upstreams.crm.rateLimits[0].limit: \"5/fortnight\" is not a rate",
        ),
        ("    command: a\n    cwd: nowhere\n", "4:upstreams.crm.cwd: `nowhere` is not a folder"),
        ("    builtin: chess\n", "3:upstreams.crm.builtin: "),
    ] {
        assert_fault(&upstream(rest), fault);
    }
}

#[test]
fn an_upstreams_name_can_be_told_from_its_tools() {
    for name in ["\"a b\"", "9a", "ä", "a__b", "a_", "a.b", "_a", "abcdefghijklmnopqrstuvwxyz0123456"] {
        let faults = faults(&format!("upstreams:\n  {name}: {{builtin: demo}}"));
        assert!(faults.len() == 1 && faults[0].starts_with("2:upstreams"), "{name}: {faults:?}");
    }
    for (name, separator) in [("a-b", "-"), ("a.b", "."), ("ab", "b")] {
        let faults =
            faults(&format!("naming: {{separator: \"{separator}\"}}\nupstreams: {{{name}: {{builtin: demo}}}}"));
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
    }
    assert_fault("naming: {separator: \"\"}", "1:naming.separator: ");
    assert_fault("naming: {separator: \" / \"}", "1:naming.separator: ");
    assert_fault(
        "upstreams:\n  crm: {url: 'http://127.0.0.1/mcp'}\n  CRM: {url: 'http://127.0.0.1/mcp'}",
        "3:upstreams.CRM: `CRM` and another upstream differ in case alone",
    );
    assert_fault(
        "upstreams: {a: {builtin: demo}}\nmcpServers: {a: {builtin: demo}}",
        "2:mcpServers.a: `a` stands under `upstreams` already",
    );
    for name in ["a", "a-b", "a_b", "A9", "abcdefghijklmnopqrstuvwxyz012345"] {
        Folder::new().config(&format!("upstreams: {{{name}: {{builtin: demo}}}}"));
    }
}

#[test]
fn policies_that_are_not_there_or_wrong_are_reported() {
    assert_fault("policies:\n  - \"other/*.yaml\"", "2:policies[0]: `other/*.yaml` names no file");
    assert_fault("policies: [\"policies/*.yml\"]", "1:policies[0]: `policies/*.yml` names no file");
    assert_fault("policies: [\"policies/[.yaml\"]", "1:policies[0]: `policies/[.yaml` is not a pattern");
    assert_fault("policies: [no.yaml]", "1:policies[0]: `no.yaml` names no file");
}

#[test]
fn an_upstream_that_is_switched_off_may_be_incomplete() {
    let config = Folder::new().config("mcpServers: {a: {url: http://a/, disabled: true, auth: {bearer: {env: NOPE}}}}");
    assert_eq!(config.upstreams, []);
}

#[test]
fn faults_of_the_configuration_and_of_all_policy_files_come_at_once() {
    let folder = Folder::new();
    for (name, content) in
        [("policies/b.yaml", "policies:\n  - name: b\n    tool: {}\n"), ("policies/c.yaml", "policies: [\n")]
    {
        fs::write(folder.path().join(name), content).unwrap();
    }
    // Once with a fault that the schema sees, once with one that it does not.
    for listen in ["nowhere", "0.0.0.0:1"] {
        let text = format!("policies: [\"policies/*.yaml\"]\nlisten: {listen}\n");
        let faults = folder.load(&text, false).outcome.unwrap_err();
        let faults: Vec<_> = faults.iter().filter(|fault| is_error(fault)).collect();
        let files: Vec<&str> = faults.iter().map(|fault| fault.file.rsplit('/').next().unwrap()).collect();
        assert_eq!(files, ["portcullis.yaml", "b.yaml", "c.yaml"], "{faults:#?}");
        assert_eq!((faults[0].line, faults[1].line), (2, 3));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let missing = load(Path::new("/nonexistent/portcullis.yaml"), &|_| None, false);
    let faults = missing.outcome.unwrap_err();
    assert!(faults[0].to_string().starts_with("/nonexistent/portcullis.yaml:1: cannot be read: "), "{faults:?}");
    assert_eq!(missing.watched, [Path::new("/nonexistent/portcullis.yaml")]);
    let folder = Folder::new();
    fs::write(folder.path().join("latin1.yaml"), b"a: \xe4").unwrap();
    assert!(load(&folder.path().join("latin1.yaml"), &|_| None, false).outcome.is_err());
}
