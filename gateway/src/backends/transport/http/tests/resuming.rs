//! Event streams that break off and are taken up again.

use super::*;

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

/// A server whose answers are these: a status and the events of a stream.
async fn streaming(answers: Vec<(u16, String)>) -> Server {
    Server::new(move |nth| {
        let (status, events) = answers.get(nth).cloned().unwrap_or((404, String::new()));
        let mut response = answer(status, "text/event-stream", events);
        response.headers_mut().insert(mirror::SESSION_ID, HeaderValue::from_static("minted"));
        response
    })
    .await
}

async fn all(reply: Reply) -> Vec<Result<String, TransportError>> {
    let Reply::Stream { first, messages, .. } = reply else { panic!("{reply:?}") };
    tokio::time::timeout(
        SOON,
        after(first, messages).map(|message| message.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())).collect(),
    )
    .await
    .unwrap()
}

fn event(id: u32, message: &str) -> String {
    format!("id: {id}\nretry: 0\ndata: {message}\n\n")
}

impl Server {
    /// The method of each request after the first, with what it is to go on after.
    fn resumed_after(&self) -> Vec<(String, String, String)> {
        let heads = self.heads.lock().unwrap();
        let text = |head: &http::request::Parts, name: &str| head.headers[name].to_str().unwrap().to_owned();
        let resumed = heads.iter().skip(1);
        resumed
            .map(|head| (head.method.to_string(), text(head, "last-event-id"), text(head, "mcp-session-id")))
            .collect()
    }
}

fn get(after: &str, session: &str) -> (String, String, String) {
    ("GET".to_owned(), after.to_owned(), session.to_owned())
}

#[tokio::test]
async fn a_stream_closed_before_its_response_is_taken_up_again() {
    let server = streaming(vec![
        // Closed after a priming event, after a message, and within one.
        (200, event(1, "")),
        (200, event(2, PROGRESS)),
        (200, format!("{}id: 4\ndata: {{\"json", event(3, PROGRESS))),
        (200, event(4, RESPONSE)),
    ])
    .await;
    let heard = all(server.ask_in_session().await.unwrap()).await;
    let closed = TransportError::Disconnected("the stream ended before the response".to_owned());
    let expected = [PROGRESS, PROGRESS, RESPONSE].map(|message| Ok(message.to_owned()));
    assert_eq!(heard[..3], expected);
    assert_eq!(heard[3..], [Err(closed)], "after the response nothing is taken up");
    assert_eq!(server.resumed_after(), [get("1", "minted"), get("2", "minted"), get("3", "minted")]);
}

#[tokio::test]
async fn no_event_is_delivered_twice() {
    let server = streaming(vec![(200, event(1, PROGRESS)), (200, event(1, PROGRESS) + &event(2, RESPONSE))]).await;
    let heard = all(server.ask().await.unwrap()).await;
    assert_eq!(heard[..2], [PROGRESS, RESPONSE].map(|message| Ok(message.to_owned())));
}

#[tokio::test]
async fn a_stream_without_ids_is_not_taken_up() {
    let server = streaming(vec![(200, format!("retry: 0\ndata: {PROGRESS}\n\n"))]).await;
    let heard = all(server.ask().await.unwrap()).await;
    assert!(matches!(&heard[1..], [Err(TransportError::Disconnected(_))]), "{heard:?}");
    assert!(server.resumed_after().is_empty());
}

#[tokio::test]
async fn a_server_that_refuses_to_go_on_is_believed_at_once() {
    for status in [400, 404, 405] {
        let server = streaming(vec![(200, event(1, "")), (status, String::new())]).await;
        let heard = all(server.ask().await.unwrap()).await;
        let [Err(TransportError::Disconnected(why))] = &heard[..] else { panic!("{heard:?}") };
        assert!(why.contains(&status.to_string()), "{why}");
        assert_eq!(server.resumed_after().len(), 1);
    }
}

#[tokio::test]
async fn a_server_that_closes_again_and_again_is_left() {
    let server = Server::new(|nth| answer(200, "text/event-stream", event(u32::try_from(nth).unwrap(), ""))).await;
    let heard = all(server.ask_in_session().await.unwrap()).await;
    assert!(matches!(&heard[..], [Err(TransportError::Disconnected(_))]), "{heard:?}");
    let resumed = server.resumed_after();
    assert_eq!((resumed.len(), &resumed[9]), (64, &get("9", "s")));
}

#[test]
fn the_pause_is_that_of_the_server_within_bounds() {
    let asked = |seconds| events::pause(Some(Duration::from_secs(seconds))).as_secs();
    assert_eq!([asked(0), asked(3), asked(999_999)], [0, 3, 30]);
    assert_eq!(events::pause(None).as_secs(), 1);
}

#[tokio::test]
async fn a_stream_of_the_servers_own_is_taken_up_in_its_session() {
    let server = streaming(vec![(200, event(7, RESPONSE)), (200, event(8, PROGRESS)), (405, String::new())]).await;
    let headers = HeaderMap::from_iter([(mirror::SESSION_ID, HeaderValue::from_static("s"))]);
    let messages = server.transport.listen(headers).await.unwrap();
    let heard: Vec<_> = messages.collect().await;
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(server.resumed_after(), [get("7", "s"), get("8", "s")]);
}

#[tokio::test]
async fn a_server_that_is_gone_is_asked_a_few_times_and_then_left() {
    let (transport, serving) =
        raw_server(vec![b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 1\nretry: 0\ndata:\n\n"]).await;
    let reply = transport.request(outgoing(HeaderMap::new())).await.unwrap();
    assert_eq!(serving.await.unwrap(), 1);
    let heard = all(reply).await;
    assert!(matches!(&heard[..], [Err(TransportError::Disconnected(_))]), "{heard:?}");
}
