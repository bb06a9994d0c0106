//! What comes on the way to a response.

use portcullis_tests::http::Answer;
use portcullis_tests::scripted::Era;

use super::{DOORS, IDS, METHODS, TOKENS, client, fill, pair, prepare, request};

const PROGRESS: &str = r#"{"x-top":{ODD},"params":{"x":{ODD},"progress":1.0,"total":1e2,"progressToken" : {TOKEN} ,"message":"\u0041","_meta":{ODD}},"method":"notifications/progress","jsonrpc":"2.0"}"#;
const LOG: &str = r#"{"params":{"data":{ODD},"x":{ODD},"level":"\u0069nfo","logger":""},"jsonrpc":"2.0","method":"notifications/message","x":{ODD}}"#;
const NOVEL: &str = r#"{"method":"notifications/x-novel","jsonrpc":"2.0","params":{ODD},"x":{ODD}}"#;
const RESPONSE: &str = r#"{"result":{"content":[],"x":{ODD}},"id" : {ID},"jsonrpc":"2.0"}"#;

/// The messages of a stream, as they were written.
pub(super) fn messages(mut answer: Answer) -> Vec<String> {
    let events = std::iter::from_fn(|| answer.next_raw_event().unwrap());
    events.map(|event| event.data).filter(|data| !data.is_empty()).collect()
}

fn assert_notices_keep_their_bytes(era: Era) {
    let (upstream, gateway) = pair(era);
    let said = [PROGRESS, LOG, NOVEL, PROGRESS, RESPONSE].map(|message| fill(message, &[]));
    upstream.say("tools/call", &said.each_ref().map(String::as_str));
    for (turn, door) in DOORS.iter().enumerate() {
        let client = client(&gateway, era, door);
        let (id, token) = (IDS[turn], TOKENS[turn]);
        let gaps = [("{ID}", id), ("{TOKEN}", token), ("{NAME}", door.name)];
        let mut call = fill(&request(era, &METHODS[0]), &gaps);
        if era == Era::Modern {
            // Who wants to hear of the log says so.
            let wanted = r#""_meta": {"io.modelcontextprotocol/logLevel":"debug","#;
            call = call.replacen(r#""_meta": {"#, wanted, 1);
        }
        let answer = prepare(&client, era, &call).open(gateway.main).unwrap();
        let expected = said.each_ref().map(|message| fill(message, &gaps));
        assert_eq!(messages(answer), expected, "{era:?} at {}", door.path);
    }
}

#[test]
fn notices_of_the_handshake_keep_their_bytes() {
    assert_notices_keep_their_bytes(Era::Legacy);
}

#[test]
fn notices_without_a_handshake_keep_their_bytes() {
    assert_notices_keep_their_bytes(Era::Modern);
}
