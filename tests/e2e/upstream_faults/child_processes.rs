//! Upstreams that are child processes: they are killed, they chatter, they end with us.

use nix::sys::signal::{Signal, kill};
use portcullis_tests::client::Client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::upstream::python_stdio;

/// A gateway over the Python server as a child, which already answers.
fn over_child() -> Gateway {
    let quick = "retry: {maxAttempts: 5, initial: 50ms, max: 200ms}";
    let entry = python_stdio("mcp-1");
    let gateway = Gateway::over(&[("py", &format!("{}, {quick}}}", entry.trim_end_matches('}')))]);
    wait_until("the child's answer", || answers(&gateway.client()));
    gateway
}

fn answers(client: &Client) -> bool {
    client.call("py__add", &json!({"a": 1, "b": 2})).json()["result"]["content"][0]["text"] == "3"
}

#[test]
fn a_killed_child_is_started_again() {
    let gateway = over_child();
    let before = gateway.children();
    assert_eq!(before.len(), 1);
    kill(before[0], Signal::SIGKILL).unwrap();
    wait_until("another child", || answers(&gateway.client()));
    assert_ne!(gateway.children(), before);
}

#[test]
fn a_call_that_its_child_dies_under_is_answered() {
    let gateway = over_child();
    let mut answer = gateway.client().open_call("py__count", &json!({"steps": 400}), &json!("p"));
    // It runs in the child as soon as its progress is heard.
    assert_eq!(answer.next_event().unwrap().unwrap()["params"]["progressToken"], "p");
    gateway.children().into_iter().for_each(|child| kill(child, Signal::SIGKILL).unwrap());
    let mut last = json!(null);
    while let Some(event) = answer.next_event().unwrap() {
        last = event;
    }
    assert_eq!(last["error"]["code"], -31502, "{last}");
    wait_until("another child", || answers(&gateway.client()));
}

#[test]
fn children_end_with_the_gateway() {
    let mut gateway = over_child();
    let children = gateway.children();
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.wait_exit().success());
    for child in children {
        wait_until("the child to end", || kill(child, None).is_err());
    }
}

#[test]
fn a_command_that_does_not_exist_takes_nobody_down() {
    let gateway = Gateway::over(&[("ghost", "{command: no-such-program-anywhere}"), ("py", &python_stdio("mcp-1"))]);
    wait_until("the other upstream's answer", || answers(&gateway.client()));
    let reply = gateway.client().call("ghost__anything", &json!({}));
    assert!([json!(-31502), json!(-32602)].contains(&reply.json()["error"]["code"]), "{}", reply.text());
}

#[test]
fn what_a_child_prints_beside_the_protocol_does_no_harm() {
    let home = portcullis_tests::gateway::Home::open();
    let noisy = "\
import sys, subprocess
print('Starting up, please wait...', flush=True)
print('x' * 5_000_000, flush=True)
print('to stderr with no newline', file=sys.stderr, end='', flush=True)
sys.exit(subprocess.call(sys.argv[1:]))
";
    home.write("noisy.py", noisy);
    let entry = python_stdio("mcp-1");
    // command: PYTHON, args: [SERVER, stdio]  →  args: [noisy.py, PYTHON, SERVER, stdio]
    let python = entry.split('"').nth(1).unwrap();
    let wrapped = entry.replace("args: [", &format!("args: [\"{}\", \"{python}\", ", home.file("noisy.py").display()));
    let gateway = home.serve(&portcullis_tests::gateway::standard(&[("py", &wrapped)], ""));
    wait_until("the child's answer", || answers(&gateway.client()));
}
