//! Lets a tool end the stream that its answer is to come on, as a server may
//! that has primed its client: the answer then waits for a GET with
//! `Last-Event-ID` (2025-11-25, Streamable HTTP, resumability).

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::{Request, Response};
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use tokio::sync::Notify;

use crate::server::Server;

/// Ends the stream of the request it was found in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hangup(Arc<Notify>);

// === impl Hangup ===

impl Hangup {
    /// Ends the stream once its first event, the priming one, is through.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}

/// Serves a request whose tool may hang up.
pub(crate) async fn serve(
    mcp: &StreamableHttpService<Server, LocalSessionManager>,
    mut request: Request<Incoming>,
) -> Response<impl Body<Data = Bytes, Error = Infallible> + use<>> {
    let hangup = Hangup::default();
    request.extensions_mut().insert(hangup.clone());
    mcp.handle(request).await.map(|body| {
        let hung_up = async move { hangup.0.notified().await };
        let frames = body.into_data_stream().map(|data| data.map(Frame::data)).boxed();
        let until_then =
            frames.into_future().map(|(first, rest)| stream::iter(first).chain(rest.take_until(Box::pin(hung_up))));
        StreamBody::new(until_then.flatten_stream())
    })
}
