//! What a client asks of its session itself: `GET` opens the stream of what
//! comes of its own accord, or has the rest of one that broke off, `DELETE`
//! ends the session.

use http::{HeaderName, Response, StatusCode};
use tower_service::Service;

use super::arrival::Arrival;
use super::{Decoder, encode, headers};
use crate::backends::answer::Answer;
use crate::body::Body;
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

// === impl Decoder ===

impl Decoder {
    /// Opens the stream of a session.
    pub(super) async fn open_stream<S>(&self, arrival: Arrival, mut inner: S) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let version = headers::version(&arrival.headers)?;
        let id = headers::needed_session_id(&arrival.headers)?;
        let session = self.sessions.get(id, arrival.bearer()).ok_or(Rejection::UnknownSession)?;
        let after = arrival.headers.get(LAST_EVENT_ID).map(|id| {
            let id = id.to_str().map_err(|_| Rejection::UnknownEvent { detail: "Last-Event-ID is none of ours" });
            id.map(Box::from)
        });
        let mut request = arrival.into_request(Operation::OpenStream { after: after.transpose()? });
        let era = request.era();
        request.version = version.unwrap_or(session.version);
        request.session = Some(session);
        Ok(encode::whole(inner.call(Box::new(request)).await?, era))
    }

    /// `DELETE` of a session by its client.
    pub(super) async fn end_session<S>(&self, arrival: Arrival, mut inner: S) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        headers::version(&arrival.headers)?;
        let id = headers::needed_session_id(&arrival.headers)?;
        let session = self.sessions.end(id, arrival.bearer()).ok_or(Rejection::UnknownSession)?;
        let mut ended = arrival.into_request(Operation::SessionEnded);
        (ended.version, ended.session) = (session.version, Some(session));
        inner.call(Box::new(ended)).await?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}
