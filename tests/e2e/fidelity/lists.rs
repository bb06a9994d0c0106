//! Lists: what stands in them is shown as its server wrote it.

use portcullis_tests::gateway::{Gateway, Home, standard};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::{Era, Scripted};

use super::{DOORS, Door, OWN, client, fill, post};

/// A list method, the member of its result, and an entry.
const LISTS: [(&str, &str, &str); 4] = [
    (
        "tools/list",
        "tools",
        r#"{ "x":{ODD}, "inputSchema":{"x":{ODD},"type":"object" },"annotations":{ODD},"name" : {NAME},"_meta":{ODD}}"#,
    ),
    ("prompts/list", "prompts", r#"{"arguments":[{"name":"\u0041","x":{ODD}}],"name":{NAME} ,"icons":{ODD}}"#),
    ("resources/list", "resources", r#"{"size":1e2,"uri" : {URI},"name":"n","x":{ODD}}"#),
    ("resources/templates/list", "resourceTemplates", r#"{"uriTemplate":{URI}, "name":"n","x":{ODD}}"#),
];

/// A list request of the era.
fn asking(era: Era, method: &str) -> String {
    let meta = if era == Era::Modern { format!(r#"{{{}"x":0}}"#, super::STATELESS) } else { "{}".to_owned() };
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{meta}}}}}"#)
}

fn named(entry: &str, door: &Door) -> String {
    fill(entry, &[("{NAME}", door.name), ("{URI}", door.uri)])
}

/// A server whose lists have members beside their entries.
fn lister(era: Era) -> Scripted {
    let upstream = if era == Era::Legacy { Scripted::legacy() } else { Scripted::modern() };
    for (method, member, entry) in LISTS {
        let entry = named(entry, OWN);
        let list = format!(
            r#"{{"jsonrpc":"2.0","id":{{ID}},"result":{{"x-first":{{ODD}},"{member}":[{entry}],"ttlMs":60000,"_meta":{{"x":1.0}},"x-last":-0}}}}"#
        );
        upstream.say(method, &[&fill(&list, &[])]);
    }
    upstream
}

fn listing(era: Era) -> (Scripted, Gateway) {
    let upstream = lister(era);
    let gateway = Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))]);
    (upstream, gateway.listing(&["up__verbatim".to_owned()]))
}

#[test]
fn entries_keep_their_bytes_but_for_their_names() {
    for era in [Era::Legacy, Era::Modern] {
        let (_upstream, gateway) = listing(era);
        for door in &DOORS {
            let client = client(&gateway, era, door);
            for (method, member, entry) in LISTS {
                let list = post(&client, era, &asking(era, method)).text();
                let expected = format!(r#""{member}":[{}]"#, named(entry, door));
                assert!(list.contains(&expected), "{era:?} {method} at {}: {list}", door.path);
            }
        }
    }
}

#[test]
fn what_stands_beside_the_entries_is_kept_where_one_server_stands_alone() {
    for era in [Era::Legacy, Era::Modern] {
        let (_upstream, gateway) = listing(era);
        let client = client(&gateway, era, OWN);
        for (method, ..) in LISTS {
            let reply = post(&client, era, &asking(era, method));
            let list = reply.text();
            for kept in [r#""x-first":{ODD}"#, r#""_meta":{"x":1.0}"#, r#""x-last":-0"#] {
                assert!(list.contains(&fill(kept, &[])), "{era:?} {method}: {list}");
            }
            // What it says of how long it may be kept is the gateway's own.
            let result = &reply.json()["result"];
            assert_eq!(result["ttlMs"].is_null(), era == Era::Legacy, "{result}");
            assert_ne!(result["x-first"], json!(null));
        }
    }
}

/// Nobody here knows what it says of what the caller may not see.
#[test]
fn what_stands_beside_the_entries_is_left_out_where_some_are_hidden() {
    let upstream = lister(Era::Legacy);
    let home = Home::with_policies(
        "policies:\n  - {name: some, subjects: {roles: [tester]}, tools: {allow: [\"other__*\"]}, prompts: {allow: [\"*\"]}}\n",
    );
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let gateway = home.serve(&standard(&[("up", &entry)], ""));
    let list = |method: &str| gateway.client().at(OWN.path).request(method, &json!({}));
    wait_until("the upstream", || list("prompts/list").text().contains("x-first"));
    assert_eq!(list("tools/list").json()["result"], json!({"tools": []}));
}
