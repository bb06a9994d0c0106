//! HTTPS on the listener: trusted, renewed while running, and for known clients alone.

use std::net::SocketAddr;

use portcullis_tests::certificates::{Authority, Identity, TlsClient, parse_certificate};
use portcullis_tests::client::message;
use portcullis_tests::command::{portcullis, shell};
use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::http::{Answer, Reply};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;

fn install(home: &Home, identity: &Identity) {
    home.write("tls.key", &identity.key);
    home.write("tls.crt", &identity.certificate);
}

fn gateway(home: Home, more: &str) -> Gateway {
    home.serve(&standard(&[], &format!("tls: {{cert: tls.crt, key: tls.key{more}}}")))
}

fn ping(gateway: &Gateway, client: &TlsClient) -> std::io::Result<Reply> {
    let (connection, _) = client.connect(gateway.main)?;
    let request = gateway.client().prepare(message("ping", &json!({})).to_string());
    request.send_on(connection, &gateway.main.to_string()).and_then(Answer::finish)
}

fn shown(client: &TlsClient, address: SocketAddr) -> Vec<u8> {
    client.connect(address).unwrap().1.to_vec()
}

#[test]
fn a_client_that_trusts_the_authority_is_served() {
    let authority = Authority::new("ours");
    let home = Home::open();
    install(&home, &authority.issue("gateway"));
    let gateway = gateway(home, "");
    assert_eq!(ping(&gateway, &authority.client(None)).unwrap().status, 200);
    assert!(ping(&gateway, &Authority::new("theirs").client(None)).is_err(), "the harness does check");
}

#[test]
fn plain_http_is_not_served_beside_it() {
    let authority = Authority::new("ours");
    let home = Home::open();
    install(&home, &authority.issue("gateway"));
    let gateway = gateway(home, "");
    let request = gateway.client().prepare(message("ping", &json!({})).to_string());
    let answered = request.open(gateway.main).is_ok_and(|answer| answer.status == 200);
    assert!(!answered);
}

#[test]
fn a_renewed_certificate_is_taken_without_a_restart() {
    let authority = Authority::new("ours");
    let home = Home::open();
    install(&home, &authority.issue("first"));
    let gateway = gateway(home, "");
    let renewed = authority.issue("second");
    install(&gateway.home, &renewed);
    let wanted = parse_certificate(&renewed.certificate).to_vec();
    wait_until("the new certificate", || shown(&authority.client(None), gateway.main) == wanted);
    assert_eq!(ping(&gateway, &authority.client(None)).unwrap().status, 200);
}

#[test]
fn a_broken_certificate_leaves_the_last_good_one() {
    let authority = Authority::new("ours");
    let home = Home::open();
    let good = authority.issue("first");
    install(&home, &good);
    let gateway = gateway(home, "");
    gateway.home.write("tls.crt", "no certificate");
    gateway.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the refusal", || gateway.metric("portcullis_config_reloads_total", &[("outcome", "failure")]) >= 1.0);
    assert_eq!(ping(&gateway, &authority.client(None)).unwrap().status, 200);
}

#[test]
fn where_client_certificates_are_asked_for_only_ours_enter() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let home = Home::open();
    install(&home, &ours.issue("gateway"));
    home.write("ca.crt", ours.certificate());
    let gateway = gateway(home, ", clientCa: ca.crt");
    assert_eq!(ping(&gateway, &ours.client(Some(&ours.issue("client")))).unwrap().status, 200);
    assert!(ping(&gateway, &ours.client(None)).is_err());
    assert!(ping(&gateway, &ours.client(Some(&theirs.issue("client")))).is_err());
}

#[test]
fn http_2_is_negotiated() {
    let authority = Authority::new("ours");
    let home = Home::open();
    install(&home, &authority.issue("gateway"));
    home.write("root.crt", authority.certificate());
    let gateway = gateway(home, "");
    let line = format!(
        "curl -sS --cacert {} -o /dev/null -w '%{{http_version}} %{{http_code}}' https://{}/health",
        gateway.home.file("root.crt").display(),
        gateway.main
    );
    let finished = shell(&line);
    assert_eq!(finished.stdout, "2 200", "{finished:?}");
}

#[test]
fn a_missing_certificate_is_a_fault_at_start() {
    let home = Home::open();
    home.configure(&standard(&[], "tls: {cert: none.crt, key: none.key}"));
    let finished = portcullis(home.path(), &["serve", "-c", "portcullis.yaml"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.said().contains("none.crt"), "{finished:?}");
}
