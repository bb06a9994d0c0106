use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::super::{Outgoing, Questions, Reply, Transport, after};
use super::*;
use crate::secret::Secret;

/// Far beyond what anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every script may use: a request's id, and an answer to it.
const ANSWERING: &str = r#"
    id_of() { printf '%s' "$1" | sed 's/.*"id":\([0-9]*\).*/\1/'; }
    answer() { printf '{"jsonrpc":"2.0","id":%s,"result":{"said":"%s"}}\n' "$1" "$2"; }
"#;

fn shell(script: &str) -> StdioSettings {
    StdioSettings {
        command: "sh".to_owned(),
        args: vec!["-c".to_owned(), format!("{ANSWERING}\n{script}")],
        env: BTreeMap::new(),
        cwd: None,
    }
}

fn transport(script: &str) -> Arc<StdioTransport> {
    StdioTransport::new("files".into(), shell(script), RetrySettings::default())
}

fn outgoing(id: u64, connection: u64) -> Outgoing {
    Outgoing {
        footing: Arc::default(),
        body: format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call"}}"#).into(),
        id,
        connection,
        headers: HeaderMap::new(),
        deadline: Instant::now() + PATIENCE,
        questions: Questions::None,
    }
}

async fn ask(transport: &StdioTransport, id: u64) -> Result<String, TransportError> {
    let connection = transport.connect().await?;
    match transport.request(outgoing(id, connection)).await? {
        Reply::Message { message, session: None } => Ok(String::from_utf8(message.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn answer(id: u64, said: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"said":"{said}"}}}}"#)
}

/// Waits until another connection was lost.
async fn lost(losses: &mut watch::Receiver<u64>) {
    timeout(PATIENCE, losses.changed()).await.expect("nothing was lost").unwrap();
}

/// Everything written to a FIFO until its last writer is gone. A thread of its
/// own: paused time does not advance while the runtime's blocking threads work.
fn read_until_writers_are_gone(fifo: &Path) -> oneshot::Receiver<String> {
    let fifo = fifo.to_owned();
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(std::fs::read_to_string(fifo).unwrap()));
    receiver
}

fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alive");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    (directory, path)
}

/// A server whose grandchild, deaf to SIGTERM, alone holds the FIFO as long as it lives.
fn with_grandchild(fifo: &Path, then: &str) -> Arc<StdioTransport> {
    transport(&format!(
        r#"exec 3> '{}'; echo alive >&3; (trap '' TERM; while :; do sleep 1; done) & exec 3>&-
           read -r line; answer 1 ready; {then}"#,
        fifo.display()
    ))
}

#[tokio::test]
async fn concurrent_requests_get_their_own_answers_from_one_process() {
    let transport = transport(r#"while read -r line; do answer "$(id_of "$line")" $$; done"#);
    let answers = futures_util::future::join_all((0..8).map(|id| ask(&transport, id))).await;
    let first: serde_json::Value = serde_json::from_str(answers[0].as_ref().unwrap()).unwrap();
    for (id, answered) in (0..).zip(&answers) {
        assert_eq!(answered.as_ref().unwrap(), &answer(id, first["result"]["said"].as_str().unwrap()));
    }
    assert_eq!(transport.connect().await, Ok(1));
}

#[tokio::test]
async fn a_message_on_several_lines_arrives_as_one() {
    let transport = transport(r#"while read -r line; do answer "$(id_of "$line")" ok; done"#);
    let connection = transport.connect().await.unwrap();
    let mut request = outgoing(5, connection);
    request.body = Bytes::from_static(b"{\n\"jsonrpc\":\"2.0\",\r\n\"id\":5,\"method\":\"x\"}\n");
    let Reply::Message { message, .. } = transport.request(request).await.unwrap() else { panic!() };
    assert_eq!(message, answer(5, "ok"));
    let Reply::Message { message, .. } = transport.request(outgoing(6, connection)).await.unwrap() else { panic!() };
    assert_eq!(message, answer(6, "ok"));
}

#[tokio::test]
async fn progress_opens_a_stream_that_ends_with_the_response() {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3,"progress":1}}"#;
    let transport =
        transport(&format!("read -r line; echo '{progress}'; echo '{progress}'; answer 3 done; read -r end"));
    let connection = transport.connect().await.unwrap();
    let reply = transport.request(outgoing(3, connection)).await.unwrap();
    let Reply::Stream { first, messages, session: None } = reply else { panic!("{reply:?}") };
    let messages: Vec<_> =
        after(first, messages).map(|message| String::from_utf8(message.unwrap().to_vec()).unwrap()).collect().await;
    assert_eq!(messages, [progress, progress, &answer(3, "done")]);
}

#[tokio::test]
async fn a_child_that_exits_midway_fails_what_it_owes_and_says_so() {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}"#;
    let transport = transport(&format!("read -r line; read -r line; echo '{progress}'; read -r line; exit 3"));
    let mut losses = transport.lost();
    let connection = transport.connect().await.unwrap();
    let silent = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.request(outgoing(1, connection)).await }
    });
    let Ok(Reply::Stream { messages, .. }) = transport.request(outgoing(2, connection)).await else { panic!() };
    transport.notify(Bytes::from_static(b"{}"), HeaderMap::new()).await.unwrap();

    let messages: Vec<_> = messages.collect().await;
    assert!(
        matches!(messages.last(), Some(Err(TransportError::Disconnected(cause))) if cause.contains('3')),
        "{messages:?}"
    );
    assert!(matches!(silent.await.unwrap(), Err(TransportError::Disconnected(_))));
    lost(&mut losses).await;
    assert_eq!(transport.request(outgoing(4, connection)).await.unwrap_err(), TransportError::Reconnected);
}

#[tokio::test]
async fn the_last_words_of_a_child_that_exits_are_heard() {
    let transport = transport("read -r line; answer 1 farewell");
    assert_eq!(ask(&transport, 1).await, Ok(answer(1, "farewell")));
}

#[tokio::test]
async fn a_child_that_failed_starts_again_after_the_pause_as_a_new_connection() {
    // Long, so that a slow machine does not wait it out before time is paused.
    let retry = RetrySettings { initial: Duration::from_secs(600), max: Duration::from_secs(600), max_attempts: 5 };
    let script = r#"read -r line; answer "$(id_of "$line")" ok"#;
    let transport = StdioTransport::new("files".into(), shell(script), retry);
    let mut losses = transport.lost();
    ask(&transport, 1).await.unwrap();
    lost(&mut losses).await;

    tokio::time::pause();
    let refused = transport.connect().await.unwrap_err();
    assert!(
        matches!(&refused, TransportError::Unreachable(why) if why.contains("the next attempt is in ")),
        "{refused}"
    );
    tokio::time::advance(retry.pause(1)).await;
    tokio::time::resume();
    assert_eq!(transport.connect().await, Ok(2));
    assert_eq!(transport.request(outgoing(2, 1)).await.unwrap_err(), TransportError::Reconnected);
    assert_eq!(ask(&transport, 2).await, Ok(answer(2, "ok")));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_exist_is_unreachable_and_not_tried_all_the_time() {
    let settings = StdioSettings { command: "/nonexistent/server".to_owned(), ..shell("") };
    let transport = StdioTransport::new("files".into(), settings, RetrySettings::default());
    let message = |error| match error {
        Err(TransportError::Unreachable(why)) => why,
        other => panic!("{other:?}"),
    };
    let first = message(transport.connect().await);
    assert!(first.contains("/nonexistent/server"), "{first}");
    let second = message(transport.connect().await);
    assert!(second.contains("the next attempt is in 1.0s"), "{second}");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(message(transport.connect().await), first);
}

#[tokio::test]
async fn stray_output_is_skipped() {
    let transport =
        transport(r#"echo Listening; echo; echo '{"a":1}'; printf '\377\n'; read -r line; answer 1 ok; read -r end"#);
    assert_eq!(ask(&transport, 1).await, Ok(answer(1, "ok")));
}

#[tokio::test]
async fn a_program_that_only_babbles_is_ended() {
    let transport = transport("while :; do echo babble; done");
    assert!(matches!(ask(&transport, 1).await, Err(TransportError::Garbage(_))));
}

#[tokio::test]
async fn an_overlong_line_ends_the_child_and_names_the_limit() {
    let transport = transport("read -r line; tr '\\0' a < /dev/zero");
    let error = ask(&transport, 1).await.unwrap_err();
    assert!(matches!(&error, TransportError::Garbage(why) if why.contains("16777216")), "{error}");
}

#[tokio::test]
async fn a_child_that_never_reads_costs_its_callers_their_deadline_and_nobody_else() {
    let deaf = transport("exec sleep 300");
    let connection = deaf.connect().await.unwrap();
    let body = Bytes::from(vec![b' '; 1 << 20]);
    let requests = (0..40).map(|id| {
        let deadline = Instant::now() + Duration::from_millis(300);
        deaf.request(Outgoing { body: body.clone(), deadline, ..outgoing(id, connection) })
    });
    let healthy = transport(r#"while read -r line; do answer "$(id_of "$line")" ok; done"#);
    let (stuck, answered) = tokio::join!(futures_util::future::join_all(requests), ask(&healthy, 1));
    assert_eq!(answered, Ok(answer(1, "ok")));
    for error in stuck {
        assert_eq!(error.unwrap_err(), TransportError::TimedOut);
    }
}

#[tokio::test]
async fn a_late_response_is_dropped_and_the_connection_goes_on() {
    // The answer to 1 comes only once 2 was asked.
    let transport = transport("read -r one; read -r two; answer 1 late; answer 2 ok; read -r end");
    let connection = transport.connect().await.unwrap();
    let hasty = Outgoing { deadline: Instant::now() + Duration::from_millis(300), ..outgoing(1, connection) };
    assert_eq!(transport.request(hasty).await.unwrap_err(), TransportError::TimedOut);
    assert_eq!(ask(&transport, 2).await, Ok(answer(2, "ok")));
}

#[tokio::test]
async fn the_servers_ping_is_answered() {
    let transport = transport(
        r#"read -r line; echo '{"jsonrpc":"2.0","id":"p1","method":"ping"}'; read -r pong
           case "$pong" in '{"jsonrpc":"2.0","id":"p1","result":{}}') answer 1 pong;; *) answer 1 wrong;; esac; read -r end"#,
    );
    assert_eq!(ask(&transport, 1).await, Ok(answer(1, "pong")));
}

#[tokio::test]
async fn only_a_minimal_environment_and_the_settings_reach_the_child() {
    let mut settings =
        shell(r#"read -r line; answer 1 "$TOKEN,${CARGO_MANIFEST_DIR-unset},${PATH:+path},$PWD"; read -r end"#);
    // Cargo sets it for tests: it stands for whatever else we were given.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    settings.env.insert("TOKEN".to_owned(), Secret::new("given".to_owned()));
    settings.cwd = Some("/".into());
    let transport = StdioTransport::new("files".into(), settings, RetrySettings::default());
    assert_eq!(ask(&transport, 1).await, Ok(answer(1, "given,unset,path,/")));
    assert!(!format!("{transport:?}").contains("TOKEN"));
}

#[tokio::test]
async fn closing_ends_the_child_and_its_stubborn_grandchild() {
    let (_directory, fifo) = fifo();
    let alive = read_until_writers_are_gone(&fifo);
    let transport = with_grandchild(&fifo, "trap '' TERM; while :; do sleep 1; done");
    ask(&transport, 1).await.unwrap();
    // The patience with the child passes at once.
    tokio::time::pause();
    transport.close().await;
    tokio::time::resume();
    assert_eq!(timeout(PATIENCE, alive).await.expect("the grandchild lives").unwrap(), "alive\n");
    assert!(matches!(transport.connect().await, Err(TransportError::Unreachable(_))));
    assert!(matches!(transport.request(outgoing(2, 1)).await, Err(TransportError::Unreachable(_))));
}

#[tokio::test]
async fn a_child_that_exits_takes_its_grandchild_along() {
    let (_directory, fifo) = fifo();
    let alive = read_until_writers_are_gone(&fifo);
    let transport = with_grandchild(&fifo, "exit 0");
    ask(&transport, 1).await.unwrap();
    assert_eq!(timeout(PATIENCE, alive).await.expect("the grandchild lives").unwrap(), "alive\n");
}

#[tokio::test]
async fn dropping_the_transport_kills_the_whole_group() {
    let (_directory, fifo) = fifo();
    let alive = read_until_writers_are_gone(&fifo);
    let transport = with_grandchild(&fifo, "read -r end");
    ask(&transport, 1).await.unwrap();
    drop(transport);
    assert_eq!(timeout(PATIENCE, alive).await.expect("the grandchild lives").unwrap(), "alive\n");
}

#[tokio::test]
async fn closing_lets_a_well_behaved_child_finish() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("finished");
    let transport = transport(&format!("read -r line; answer 1 ok; cat > /dev/null; : > '{}'", mark.display()));
    ask(&transport, 1).await.unwrap();
    transport.close().await;
    assert!(mark.exists());
}

#[tokio::test]
async fn what_a_child_writes_to_its_standard_error_is_logged_with_its_name() {
    #[derive(Clone, Default)]
    struct Log(Arc<StdMutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let transport = transport("echo 'cannot open the database' >&2; exit 1");
    let mut losses = transport.lost();
    transport.connect().await.unwrap();
    lost(&mut losses).await;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("cannot open the database") && logged.contains("upstream=files"), "{logged}");
}
