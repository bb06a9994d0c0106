//! One connection after the other, made by a dial that the test holds.

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::message_pipe::Recorded;
use super::*;

/// Makes a connection whenever the test says how it ends.
struct Scripted(tokio::sync::Mutex<mpsc::UnboundedReceiver<oneshot::Receiver<TransportError>>>);

impl Dial for Scripted {
    fn dial(&self, opening: Opening) -> BoxFuture<'_, Result<Connection, TransportError>> {
        Box::pin(async move {
            let ends = self.0.lock().await.recv().await.expect("the test goes on");
            let pipe = Pipe::new(&opening.upstream, Arc::<Recorded>::default());
            Ok(Connection::serve(opening, pipe, None, |stop| async move {
                tokio::select! {
                    error = ends => Ended::lost(error.expect("the test goes on")),
                    () = stop.asked() => Ended::orderly(),
                }
            }))
        })
    }
}

struct Fixture {
    transport: Arc<PipeTransport<Scripted>>,
    connections: mpsc::UnboundedSender<oneshot::Receiver<TransportError>>,
}

impl Fixture {
    fn new() -> Self {
        let (connections, dialled) = mpsc::unbounded_channel();
        let dial = Scripted(tokio::sync::Mutex::new(dialled));
        Self { transport: PipeTransport::over("files".into(), dial, RetrySettings::default()), connections }
    }

    /// Lets a connection be made, which ends when this is told how.
    fn let_connect(&self) -> oneshot::Sender<TransportError> {
        let (end, ends) = oneshot::channel();
        self.connections.send(ends).unwrap();
        end
    }
}

fn broken() -> TransportError {
    TransportError::Disconnected("the wire was cut".to_owned())
}

#[tokio::test(start_paused = true)]
async fn everybody_shares_one_attempt_to_connect() {
    let fixture = Fixture::new();
    let both = futures_util::future::join(fixture.transport.connect(), fixture.transport.connect());
    let mut both = Box::pin(both);
    assert!(both.as_mut().now_or_never().is_none());
    let _end = fixture.let_connect();
    assert_eq!(both.await, (Ok(1), Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_told_of_and_made_again_after_a_pause() {
    let fixture = Fixture::new();
    let end = fixture.let_connect();
    assert_eq!(fixture.transport.connect().await, Ok(1));
    let mut lost = fixture.transport.lost();
    let mut heard = fixture.transport.listen(HeaderMap::new()).await.unwrap();
    end.send(broken()).unwrap();
    lost.changed().await.unwrap();
    assert_eq!(futures_util::StreamExt::next(&mut heard).await, Some(Err(broken())));
    let refused = fixture.transport.connect().await.unwrap_err();
    assert_eq!(refused.cause(), "the wire was cut; the next attempt is in 1.0s");
    let unheard = fixture.transport.listen(HeaderMap::new()).await;
    assert!(matches!(unheard.err(), Some(TransportError::Unreachable(_))));
    tokio::time::advance(Duration::from_secs(1)).await;
    let _end = fixture.let_connect();
    assert_eq!(fixture.transport.connect().await, Ok(2));
    assert!(fixture.transport.listen(HeaderMap::new()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_answers_one_connection_is_not_said_on_the_next() {
    let fixture = Fixture::new();
    let reply = |connection| fixture.transport.reply(connection, Bytes::from_static(b"{}"), HeaderMap::new());
    let end = fixture.let_connect();
    fixture.transport.connect().await.unwrap();
    assert_eq!(reply(1).await, Ok(()));
    let mut lost = fixture.transport.lost();
    end.send(broken()).unwrap();
    lost.changed().await.unwrap();
    assert!(fixture.transport.connect().await.is_err());
    tokio::time::advance(Duration::from_secs(1)).await;
    let _end = fixture.let_connect();
    assert_eq!(fixture.transport.connect().await, Ok(2));
    assert_eq!(reply(1).await, Err(TransportError::Reconnected));
    assert_eq!(reply(2).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn another_pipe_to_the_same_server_has_pauses_of_its_own() {
    let fixture = Fixture::new();
    let end = fixture.let_connect();
    fixture.transport.connect().await.unwrap();
    let mut lost = fixture.transport.lost();
    end.send(broken()).unwrap();
    lost.changed().await.unwrap();
    assert!(fixture.transport.connect().await.is_err());
    let another = fixture.transport.another().unwrap();
    let mut end = fixture.let_connect();
    assert_eq!(another.connect().await, Ok(1));
    drop(another);
    end.closed().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_closed_while_it_connects_is_not_left_behind() {
    let fixture = Fixture::new();
    let mut connecting = fixture.transport.connect();
    assert!(connecting.as_mut().now_or_never().is_none());
    fixture.transport.close().await;
    let mut end = fixture.let_connect();
    assert!(matches!(connecting.await, Err(TransportError::Unreachable(_))));
    // The task that served it is gone, and its end of the channel with it.
    end.closed().await;
    assert!(matches!(fixture.transport.connect().await, Err(TransportError::Unreachable(_))));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_transport_ends_its_connection() {
    let fixture = Fixture::new();
    let mut end = fixture.let_connect();
    fixture.transport.connect().await.unwrap();
    drop(fixture.transport);
    end.closed().await;
}
