use super::*;

fn decode(chunks: &[&str]) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(&Bytes::copy_from_slice(chunk.as_bytes())).unwrap();
        while let Some(data) = decoder.next_event() {
            events.push(String::from_utf8(data.to_vec()).unwrap());
        }
    }
    events
}

#[test]
fn events_are_found_wherever_the_stream_is_cut() {
    let stream =
        ": hello\r\n\r\nevent: message\r\nid: 4\r\ndata: {\"a\":1}\r\n\r\ndata:x\ndata: y\n\ndata:\n\rdata: z\r\r";
    let whole = decode(&[stream]);
    assert_eq!(whole, ["{\"a\":1}", "x\ny", "z"]);
    for cut in 1..stream.len() {
        assert_eq!(decode(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
    }
}

#[test]
fn what_is_yet_to_be_reported_is_known() {
    for (stream, is_empty) in [
        ("data: 1\n\n", true),
        ("data: 1\r\r", true),
        ("data: 1\r\n\r\n", true),
        ("data: 1\r\n\r\n\n", false),
        ("data: 1\n\ndata: 2\n\n", false),
        ("data: 1\r\n\r\ndat", false),
    ] {
        let mut decoder = Decoder::default();
        decoder.push(&Bytes::from_static(stream.as_bytes())).unwrap();
        assert_eq!(decoder.next_event().unwrap(), "1");
        assert_eq!(decoder.is_empty(), is_empty, "{stream:?}");
    }
    let mut decoder = Decoder::default();
    decoder.push(&Bytes::from_static(b"data: 1\n")).unwrap();
    assert_eq!((decoder.next_event(), decoder.is_empty()), (None, false), "an event has begun");
}

#[test]
fn names_ids_and_pauses_are_read() {
    let mut decoder = Decoder::default();
    let mut after = |text: &'static str| {
        decoder.push(&Bytes::from_static(text.as_bytes())).unwrap();
        let data = decoder.next_event().map(|data| String::from_utf8(data.to_vec()).unwrap());
        let last_id = decoder.last_id().map(|id| String::from_utf8(id.to_vec()).unwrap());
        let name = String::from_utf8(decoder.name().to_vec()).unwrap();
        (data.unwrap_or_default(), last_id.unwrap_or_default(), name, decoder.retry().map(|retry| retry.as_millis()))
    };
    let of = |data: &str, id: &str, name: &str, retry| (data.to_owned(), id.to_owned(), name.to_owned(), retry);
    assert_eq!(after("id: 1\nretry: 500\ndata:\n"), of("", "", "", Some(500)), "not whole yet");
    assert_eq!(after("\n"), of("", "1", "", Some(500)), "a priming event");
    assert_eq!(after("event: endpoint\ndata: /x\n\n"), of("/x", "1", "endpoint", Some(500)));
    assert_eq!(after("data: y\nid:2\nretry: soon\n\n"), of("y", "2", "", Some(500)));
    assert_eq!(after("id: a\0b\nretry:0\n\n"), of("", "2", "", Some(0)));
    assert_eq!(after("retry: 99999999999999999999999\nid\ndata: z\n\n"), of("z", "", "", Some(0)));
}

#[test]
fn an_id_beyond_bearing_is_none() {
    let mut decoder = Decoder::default();
    decoder.push(&Bytes::from(format!("id: 1\n\nid: {}\n\n", "x".repeat(MAX_ID_BYTES + 1)))).unwrap();
    assert_eq!((decoder.next_event(), decoder.last_id()), (None, None));
}

#[test]
fn what_a_resumed_stream_repeats_is_reported_once() {
    for (again, expected) in [
        ("id: 1\ndata: a\n\nid: 2\ndata: b\n\n", vec!["b"]),
        ("id: 1\ndata:\n\nid: 1\ndata: a\n\ndata: b\n\n", vec!["b"]),
        ("id: 2\n\nid: 1\ndata: c\n\n", vec!["c"]),
        ("data: b\n\nid: 1\ndata: c\n\n", vec!["b", "c"]),
    ] {
        let mut decoder = Decoder::default();
        decoder.push(&Bytes::from_static(b"id: 1\nretry: 7\ndata: a\n\nid: 2\ndata: hal")).unwrap();
        assert_eq!(decoder.next_event().unwrap(), "a");
        assert_eq!(decoder.next_event(), None);
        let mut decoder = decoder.resumed();
        assert_eq!((decoder.last_id(), decoder.retry()), (Some(&b"1"[..]), Some(Duration::from_millis(7))));
        decoder.push(&Bytes::from_static(again.as_bytes())).unwrap();
        let events: Vec<_> = std::iter::from_fn(|| decoder.next_event()).collect();
        assert_eq!(events, expected, "{again}");
    }
}

#[test]
fn an_endless_event_is_cut_off() {
    let mut decoder = Decoder::default();
    let chunk = Bytes::from(vec![b'x'; MAX_EVENT_BYTES / 2 + 1]);
    assert_eq!(decoder.push(&chunk), Ok(()));
    assert_eq!(decoder.push(&chunk), Err(EventTooLarge));
}

#[test]
fn a_small_event_keeps_no_memory_of_a_large_one() {
    let mut decoder = Decoder::default();
    let large = "x".repeat(1 << 20);
    decoder.push(&Bytes::from(format!("data: {large}\n\ndata: small\n\n"))).unwrap();
    let large = decoder.next_event().unwrap();
    let small = decoder.next_event().unwrap();
    let (large, small) = (large.as_ptr_range(), small.as_ptr());
    let beside = large.start..large.end.wrapping_add(64);
    assert!(!beside.contains(&small), "they lie in one piece of memory");
}

#[test]
fn an_event_of_many_lines_costs_no_more_than_its_bytes() {
    let mut decoder = Decoder::default();
    let lines = 1_000_000;
    decoder.push(&Bytes::from("data:x\n".repeat(lines) + "\n")).unwrap();
    assert_eq!(decoder.next_event().unwrap().len(), 2 * lines - 1);
}

#[test]
fn what_is_encoded_can_be_decoded() {
    let event = encode(b"{\n  \"a\": 1\n}");
    assert_eq!(decode(&[std::str::from_utf8(&event).unwrap()]), ["{\n  \"a\": 1\n}"]);
}
