//! Where the next page of a list begins (MCP, "Pagination").
//!
//! A cursor is sealed, of use to the same caller at the same path for the same
//! kind of list. A list that changes between two pages may shift by a few
//! entries; that it changed is told.

use std::time::Duration;

use crate::mcp::operation::ItemKind;

use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;
use crate::seal::{Binding, KeyRing, Purpose, UnixSeconds};

/// How long a cursor can be used.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The first byte of what is sealed: how the rest is written.
const FORM: u8 = 1;

/// How many entries were on the pages before, by the cursor of a request.
///
/// # Errors
///
/// If it is none of ours, or of another list.
pub(super) fn read(keys: &KeyRing, request: &McpRequest, kind: ItemKind) -> Result<usize, Rejection> {
    let cursor = match &request.params.cursor {
        None => return Ok(0),
        Some(cursor) if request.text(*cursor) == "null" => return Ok(0),
        Some(cursor) => request.text(*cursor),
    };
    let open = || {
        let token = cursor.strip_prefix('"')?.strip_suffix('"')?;
        let payload = keys.open(binding(request), token, UnixSeconds::now()).ok()?;
        let (&[FORM, number], begin) = payload.split_first_chunk()? else { return None };
        let begin = u64::from_be_bytes(begin.try_into().ok()?);
        usize::try_from(begin).ok().filter(|_| number == kind as u8)
    };
    open().ok_or_else(|| Rejection::invalid_params("unknown cursor"))
}

/// The cursor of the page before which there were so many entries.
pub(super) fn seal(keys: &KeyRing, request: &McpRequest, kind: ItemKind, begin: usize) -> String {
    let mut payload = vec![FORM, kind as u8];
    payload.extend_from_slice(&(begin as u64).to_be_bytes());
    keys.seal(binding(request), UnixSeconds::now() + LIFETIME, &payload)
}

fn binding(request: &McpRequest) -> Binding<'_> {
    Binding { purpose: Purpose::Cursor, route: request.server.as_deref(), principal: request.principal.name() }
}
