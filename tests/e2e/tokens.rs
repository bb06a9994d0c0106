//! Who enters by a JWT: one from a real OpenID provider, and those that no
//! honest provider would make.

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home};
use portcullis_tests::issuer::{Forge, Issuer, claims, now};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;

const AUDIENCE: &str = "https://mcp.example.com/mcp";

fn gateway(jwt: &str) -> Gateway {
    Home::open().serve(&format!("auth:\n  jwt:\n    - {{{jwt}}}\npolicies: [policies/*.yaml]\n"))
}

/// A gateway that trusts the forge's key as the issuer that the forge claims to be.
fn trusting(forge: &Forge, more: &str) -> Gateway {
    let (issuer, jwks) = (forge.url(), forge.jwks_url());
    gateway(&format!(
        "issuer: \"{issuer}\", audiences: [\"{AUDIENCE}\"], jwks: {{url: \"{jwks}\"}}, rolesClaim: groups{more}"
    ))
}

/// A gateway that finds the provider's keys by discovery.
fn trusting_provider(issuer: &Issuer, more: &str) -> Gateway {
    gateway(&format!("issuer: \"{}\", audiences: [\"{AUDIENCE}\"], rolesClaim: groups{more}", issuer.url()))
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    Client::new(gateway.main).bearer(token).request("tools/list", &json!({})).status
}

#[test]
fn a_token_of_a_real_provider_enters() {
    let issuer = Issuer::start();
    let gateway = trusting_provider(&issuer, "");
    assert_eq!(status(&gateway, &issuer.token(AUDIENCE, "mcp")), 200);
}

#[test]
fn a_token_for_another_resource_is_refused() {
    let issuer = Issuer::start();
    let gateway = trusting_provider(&issuer, "");
    assert_eq!(status(&gateway, &issuer.token("https://elsewhere.example.com/mcp", "mcp")), 401);
}

#[test]
fn a_token_without_the_scope_is_told_which() {
    let issuer = Issuer::start();
    let gateway = trusting_provider(&issuer, ", requiredScopes: [mcp]");
    assert_eq!(status(&gateway, &issuer.token(AUDIENCE, "mcp")), 200);
    let poor = Client::new(gateway.main).bearer(&issuer.token(AUDIENCE, "admin"));
    let reply = poor.request("tools/list", &json!({}));
    assert_eq!(reply.status, 403);
    let challenge = reply.header("WWW-Authenticate");
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"mcp\""), "{challenge}");
}

#[test]
fn a_token_signed_with_a_rotated_key_enters() {
    let issuer = Issuer::start();
    let gateway = trusting_provider(&issuer, "");
    let before = issuer.token(AUDIENCE, "mcp");
    assert_eq!(status(&gateway, &before), 200);
    issuer.rotate_key();
    let after = issuer.token(AUDIENCE, "mcp");
    // Between two fetches of the keys lies a floor, which a rotation may have to sit out.
    wait_until("the new key to be known", || status(&gateway, &after) == 200);
    assert_eq!(status(&gateway, &before), 200, "the old key is still published");
}

#[test]
fn a_proper_token_enters_and_its_subject_is_the_principal() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    let client = Client::new(gateway.main).bearer(&forge.sign(&claims(&forge.url(), AUDIENCE)));
    assert_eq!(client.with("X-Request-ID", "who").request("tools/list", &json!({})).status, 200);
    let line = gateway.access_line("who").to_string();
    assert!(line.contains(&format!("jwt:{}#alice", forge.url())), "{line}");
}

#[test]
fn an_expired_token_is_refused_and_told_so() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    let mut old = claims(&forge.url(), AUDIENCE);
    old["exp"] = (now() - 3600).into();
    let reply = Client::new(gateway.main).bearer(&forge.sign(&old)).request("tools/list", &json!({}));
    assert_eq!(reply.status, 401);
    assert!(reply.header("WWW-Authenticate").contains("error=\"invalid_token\""));
}

#[test]
fn a_token_that_has_no_expiry_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    let mut eternal = claims(&forge.url(), AUDIENCE);
    eternal.as_object_mut().unwrap().remove("exp");
    assert_eq!(status(&gateway, &forge.sign(&eternal)), 401);
}

#[test]
fn a_token_from_the_future_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    let mut early = claims(&forge.url(), AUDIENCE);
    early["nbf"] = (now() + 3600).into();
    assert_eq!(status(&gateway, &forge.sign(&early)), 401);
}

#[test]
fn a_token_for_another_audience_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    assert_eq!(status(&gateway, &forge.sign(&claims(&forge.url(), "https://elsewhere.example.com"))), 401);
}

#[test]
fn a_token_without_an_audience_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    let mut vague = claims(&forge.url(), AUDIENCE);
    vague.as_object_mut().unwrap().remove("aud");
    assert_eq!(status(&gateway, &forge.sign(&vague)), 401);
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    assert_eq!(status(&gateway, &forge.sign(&claims("https://evil.example.com", AUDIENCE))), 401);
}

#[test]
fn a_token_signed_by_another_key_is_refused() {
    let (forge, other) = (Forge::start(), Forge::start());
    let gateway = trusting(&forge, "");
    assert_eq!(status(&gateway, &other.sign(&claims(&forge.url(), AUDIENCE))), 401);
}

#[test]
fn a_changed_token_is_refused_although_the_original_was_accepted() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    let token = forge.sign(&claims(&forge.url(), AUDIENCE));
    assert_eq!(status(&gateway, &token), 200);
    let mut stronger = claims(&forge.url(), AUDIENCE);
    stronger["sub"] = "root".into();
    let stronger = forge.sign(&stronger);
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[1] = stronger.split('.').nth(1).unwrap();
    assert_eq!(status(&gateway, &parts.join(".")), 401);
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    assert_eq!(status(&gateway, &forge.sign_not_at_all(&claims(&forge.url(), AUDIENCE))), 401);
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    assert_eq!(status(&gateway, &forge.sign_with_public_key(&claims(&forge.url(), AUDIENCE))), 401);
}

#[test]
fn an_algorithm_that_the_file_does_not_list_is_refused() {
    let forge = Forge::start();
    let gateway = trusting(&forge, ", algorithms: [RS256]");
    assert_eq!(status(&gateway, &forge.sign(&claims(&forge.url(), AUDIENCE))), 401);
}

#[test]
fn forged_key_ids_do_not_make_the_gateway_hammer_the_key_set() {
    let forge = Forge::start();
    let gateway = trusting(&forge, "");
    assert_eq!(status(&gateway, &forge.sign(&claims(&forge.url(), AUDIENCE))), 200);
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (forge, gateway) = (&forge, &gateway);
            threads.spawn(move || {
                for call in 0..50 {
                    let forged = forge.sign_as(&format!("{thread}-{call}"), &claims(&forge.url(), AUDIENCE));
                    assert_eq!(status(gateway, &forged), 401);
                }
            });
        }
    });
    assert!(forge.fetches() <= 4, "{} fetches", forge.fetches());
    assert_eq!(status(&gateway, &forge.sign(&claims(&forge.url(), AUDIENCE))), 200, "the good key still opens");
}

#[test]
fn a_key_set_from_a_file_needs_no_network() {
    let forge = Forge::start();
    let home = Home::open();
    home.write("jwks.json", &forge.key_set().to_string());
    let gateway = home.serve(&format!(
        "auth:\n  jwt:\n    - {{issuer: \"{}\", audiences: [\"{AUDIENCE}\"], jwks: {{file: jwks.json}}}}\npolicies: [policies/*.yaml]\n",
        forge.url()
    ));
    assert_eq!(status(&gateway, &forge.sign(&claims(&forge.url(), AUDIENCE))), 200);
    assert_eq!(forge.fetches(), 0);
}

#[test]
fn the_roles_of_a_token_decide_what_it_may_call() {
    let forge = Forge::start();
    let upstream = portcullis_tests::scripted::Scripted::legacy();
    let home = Home::open();
    let gateway = home.serve(&format!(
        "auth:\n  jwt:\n    - {{issuer: \"{}\", audiences: [\"{AUDIENCE}\"], jwks: {{url: \"{}\"}}, rolesClaim: groups}}\n\
         policies: [policies/*.yaml]\nupstreams:\n  up: {{url: \"{}\"}}\n",
        forge.url(), forge.jwks_url(), upstream.url()
    ));
    let client = Client::new(gateway.main);
    let tester = forge.sign(&claims(&forge.url(), AUDIENCE));
    assert!(!client.clone().bearer(&tester).tools().is_empty());
    let mut stranger = claims(&forge.url(), AUDIENCE);
    stranger["groups"] = json!(["nobody"]);
    assert!(client.bearer(&forge.sign(&stranger)).tools().is_empty());
}
