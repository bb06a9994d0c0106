//! Reading a body: the one place in the stack that does.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::body::BodyError;
use crate::rejection::Rejection;

/// Smaller bodies are copied: as a slice of the connection's read buffer, 8 KiB
/// of which stand ready for each, one would keep all of it while its request
/// runs, and the connection would need another.
const COPIED_BYTES: usize = 2 * 1024;

/// Reads a whole body. One that came in a single frame is not copied, unless
/// it is small.
pub(super) async fn read<B>(mut body: B, max_bytes: usize, deadline: Instant) -> Result<Bytes, Rejection>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    let too_large = || Rejection::BodyTooLarge { max_bytes };
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while !body.is_end_stream() {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| Rejection::BodyTooSlow)?;
        let frame = match frame {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Rejection::BodyIncomplete),
        };
        let Ok(data) = frame.into_data() else { continue };
        let held = rest.as_ref().map_or(first.len(), BytesMut::len);
        if held + data.len() > max_bytes {
            return Err(too_large());
        }
        if held == 0 {
            first = if data.len() <= COPIED_BYTES { Bytes::copy_from_slice(&data) } else { data };
        } else {
            rest.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&data);
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}
