//! The one body type of requests we send and responses we give.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use crate::running::Room;

/// What can go wrong while a body is produced.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

type Boxed = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>;

/// A body: whole, in ready pieces, or still arriving.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Room taken up for as long as the body is not gone.
    _held: Option<Room>,
}

/// The pieces of a body that is read whole. One that comes in a single piece is
/// not copied.
#[derive(Debug)]
pub struct Gathered {
    max_bytes: usize,
    expected: usize,
    first: Bytes,
    /// Everything, as soon as there are two pieces.
    joined: Option<BytesMut>,
}

/// More came than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Pieces(VecDeque<Bytes>),
    Arriving(Boxed),
    Standing(Boxed),
}

// === impl Body ===

impl Body {
    /// A body of no bytes.
    pub const fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    /// A body that still arrives; its frames are passed on as they come.
    pub fn arriving<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::of(Kind::Arriving(Box::pin(body)))
    }

    /// The same of a body that nobody waits for: it takes up no room.
    pub fn standing<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::of(Kind::Standing(Box::pin(body)))
    }

    /// A body of ready pieces, sent one after the other without joining them.
    pub fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::of(Kind::Pieces(pieces.into_iter().filter(|piece| !piece.is_empty()).collect()))
    }

    /// The same body, which gives back `room` when it is gone; a
    /// [standing](Self::standing) one at once.
    #[must_use]
    pub fn holding(self, room: Room) -> Self {
        let stands = matches!(self.kind, Kind::Standing(_));
        Self { _held: Some(room).filter(|_| !stands), ..self }
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, _held: None }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "empty",
            Kind::Whole(_) => "whole",
            Kind::Pieces(_) => "pieces",
            Kind::Arriving(_) => "arriving",
            Kind::Standing(_) => "standing",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self::of(Kind::Whole(bytes)) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Kind::Arriving(body) | Kind::Standing(body) => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                if frame.is_none() {
                    self.kind = Kind::Empty;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Pieces(pieces) => pieces.is_empty(),
            Kind::Arriving(body) | Kind::Standing(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Kind::Arriving(body) | Kind::Standing(body) => body.size_hint(),
        }
    }
}

// === impl Gathered ===

impl Gathered {
    /// Nothing yet, of at most `max_bytes`.
    #[must_use]
    pub const fn bounded(max_bytes: usize) -> Self {
        Self { max_bytes, expected: 0, first: Bytes::new(), joined: None }
    }

    /// Joins pieces where there is room for so many bytes from the start.
    #[must_use]
    pub const fn expecting(mut self, bytes: usize) -> Self {
        self.expected = bytes;
        self
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    ///
    /// [`TooLarge`]
    pub fn push(&mut self, piece: Bytes) -> Result<(), TooLarge> {
        let len = self.len() + piece.len();
        if len > self.max_bytes {
            return Err(TooLarge);
        }
        if self.is_empty() {
            self.first = piece;
            return Ok(());
        }
        let (first, capacity) = (&self.first, self.expected.max(len));
        let joined = self.joined.get_or_insert_with(|| {
            let mut joined = BytesMut::with_capacity(capacity);
            joined.extend_from_slice(first);
            joined
        });
        joined.extend_from_slice(&piece);
        Ok(())
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.joined.as_ref().map_or(self.first.len(), BytesMut::len)
    }

    /// Whether nothing came yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it.
    #[must_use]
    pub fn whole(self) -> Bytes {
        self.joined.map_or(self.first, BytesMut::freeze)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_sent_in_order_with_an_exact_length() {
        let body = Body::pieces([Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[test]
    fn pieces_are_gathered_up_to_the_bound_and_one_alone_is_not_copied() {
        let piece = Bytes::from_static(b"abc");
        let mut gathered = Gathered::bounded(6);
        assert_eq!((gathered.push(Bytes::new()), gathered.push(piece.clone())), (Ok(()), Ok(())));
        assert_eq!((gathered.push(piece.clone()), gathered.push(Bytes::from_static(b"d"))), (Ok(()), Err(TooLarge)));
        assert_eq!(gathered.whole(), "abcabc");
        let mut gathered = Gathered::bounded(3).expecting(9);
        assert_eq!(gathered.push(piece.clone()), Ok(()));
        assert_eq!(gathered.whole().as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn a_whole_body_ends_after_its_one_frame() {
        let mut body = Body::from("x");
        assert!(!body.is_end_stream());
        body.frame().await.unwrap().unwrap();
        assert!(body.is_end_stream());
    }
}
