//! Reading a body: the one place in the stack that does.

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::body::{BodyError, Gathered, TooLarge};
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
    // Room is made as it comes: what a client announces it need not send.
    let mut gathered = Gathered::bounded(max_bytes);
    while !body.is_end_stream() {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| Rejection::BodyTooSlow)?;
        let frame = match frame {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Rejection::BodyIncomplete),
        };
        let Ok(mut data) = frame.into_data() else { continue };
        if gathered.is_empty() && data.len() <= COPIED_BYTES {
            data = Bytes::copy_from_slice(&data);
        }
        gathered.push(data).map_err(|TooLarge| too_large())?;
    }
    Ok(gathered.whole())
}
