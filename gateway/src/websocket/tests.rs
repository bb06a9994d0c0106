//! Both sides over a connection in memory.

use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

type Half = (Reader<DuplexStream>, Writer<DuplexStream>);

async fn both() -> (Half, Half) {
    let (client, server) = duplex(64 << 10);
    tokio::join!(open(client, Side::Client, 1000), open(server, Side::Server, 1000))
}

/// A client before a server that sends raw bytes.
async fn raw() -> (Half, DuplexStream) {
    let (client, server) = duplex(64 << 10);
    (open(client, Side::Client, 1000).await, server)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn messages_go_both_ways_until_one_side_closes() {
    let ((mut from_server, mut to_server), (mut from_client, mut to_client)) = both().await;
    to_server.text(text("{\"ä\":1}")).await.unwrap();
    assert_eq!(from_client.next().await.unwrap(), Some(Heard::Text(text("{\"ä\":1}"))));
    to_client.text(text("2")).await.unwrap();
    assert_eq!(from_server.next().await.unwrap(), Some(Heard::Text(text("2"))));
    to_client.close(1001).await.unwrap();
    assert_eq!(from_server.next().await.unwrap(), None);
    assert_eq!(from_client.next().await.unwrap(), None, "the other side closes by itself");
    assert!(matches!(to_server.text(text("3")).await, Err(SocketError::Broken(_))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_lives_on_in_silence() {
    let ((mut from_server, mut to_server), (mut from_client, _to_client)) = both().await;
    let pinging = to_server.send_all(stream::pending());
    let silent = tokio::time::timeout(Duration::from_secs(600), async {
        // The peer answers while it reads.
        tokio::join!(from_server.next(), from_client.next(), pinging)
    });
    assert!(silent.await.is_err(), "nobody gave up");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_dead() {
    let ((mut reader, mut writer), _server) = raw().await;
    let started = Instant::now();
    let pinging = writer.send_all(stream::pending());
    let heard = tokio::select! {
        heard = reader.next() => heard,
        _ = pinging => unreachable!("it has nothing to send"),
    };
    assert!(matches!(heard, Err(SocketError::Dead)));
    assert_eq!(started.elapsed(), DEAD_AFTER);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_left() {
    let (client, _server) = duplex(16);
    let (_reader, mut writer) = open(client, Side::Client, 1000).await;
    let sent = writer.send_all(stream::repeat(Bytes::from(vec![b' '; 1000]))).await;
    assert!(matches!(sent, Err(SocketError::Dead)));
}

#[tokio::test]
async fn what_is_sent_is_what_was_given() {
    let ((_reader, mut writer), mut server) = raw().await;
    writer.send_all(stream::iter([text("a"), text("b")])).await.unwrap();
    let mut frames = [0; 14];
    server.read_exact(&mut frames).await.unwrap();
    let unmasked: Vec<u8> = frames.chunks(7).map(|frame| frame[6] ^ frame[2]).collect();
    assert_eq!((frames[0], frames[1], unmasked), (0x81, 0x81, b"ab".to_vec()), "text, masked, of one byte");
}

#[tokio::test]
async fn what_cannot_be_taken_is_garbage() {
    let too_large = [&[0x81, 126, 0x03, 0xe9][..], &[b' '; 1001]].concat();
    let http = [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[b' '; 100]].concat();
    // Announced as 2^62 bytes; a text that is no UTF-8; a frame of no known kind.
    for frames in [&too_large[..], b"\x81\x7f\x40\0\0\0\0\0\0\0", b"\x81\x01\xff", b"\x83\x00", &http] {
        let ((mut reader, _writer), mut server) = raw().await;
        server.write_all(frames).await.unwrap();
        assert!(matches!(reader.next().await, Err(SocketError::Garbage(_))), "{:?}", &frames[..2]);
    }
}

#[tokio::test]
async fn fragments_are_joined_within_the_limit() {
    let ((mut reader, _writer), mut server) = raw().await;
    server.write_all(b"\x01\x01a\x89\x00\x80\x01b\x82\x01x").await.unwrap();
    assert_eq!(reader.next().await.unwrap(), Some(Heard::Text(text("ab"))));
    assert_eq!(reader.next().await.unwrap(), Some(Heard::Binary));
    for _ in 0..2 {
        server.write_all(&[&[0x01, 126, 0x02, 0x58][..], &[b' '; 600]].concat()).await.unwrap();
    }
    assert!(matches!(reader.next().await, Err(SocketError::Garbage(_))));
}

#[tokio::test]
async fn an_end_without_a_goodbye_is_a_break() {
    let ((mut reader, _writer), server) = raw().await;
    drop(server);
    assert!(matches!(reader.next().await, Err(SocketError::Broken(_))));
}
