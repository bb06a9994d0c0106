//! `notifications/resources/updated`: what it says, and saying it on.

use bytes::Bytes;

use super::answer::{UpstreamKind, UpstreamMessage};
use super::json::{Members, quoted};
use super::meta::{SUBSCRIPTION_ID, subscription_tag};
use super::scanner::string;
use super::splice::{Span, Splice};

/// Its method.
pub const METHOD: &str = "notifications/resources/updated";
/// A longer one is cut down to what it must say.
const MAX_BYTES: usize = 16 * 1024;

/// Has something hear that a resource may have changed unheard, by its URI at
/// the upstream.
pub fn unheard(uri: &str, tell: impl FnOnce(&Update<'_>)) {
    let Ok(message) = UpstreamMessage::scan(plain(uri, None)) else { return };
    if let UpstreamKind::Notification { params: Some(params), .. } = message.kind
        && let Some(update) = Update::read(&message, params)
    {
        tell(&update);
    }
}

/// One such notification of an upstream.
#[derive(Debug)]
pub struct Update<'a> {
    message: &'a UpstreamMessage,
    /// The resource, or a part of it, by its URI at the upstream.
    pub uri: String,
    place: Span,
    params: Span,
    meta: Option<Span>,
}

// === impl Update ===

impl<'a> Update<'a> {
    /// Reads a notification by its `params`; `None` where it names no resource.
    #[must_use]
    pub fn read(message: &'a UpstreamMessage, params: Span) -> Option<Self> {
        let text = message.text(params);
        let place = Members::get(text, "uri")?;
        let uri = string(place)?.into_owned();
        let meta = Members::get(text, "_meta").filter(|meta| meta.starts_with('{'));
        Some(Self { message, uri, place: message.place(place), params, meta: meta.map(|meta| message.place(meta)) })
    }

    /// The same for a client that knows the resource by this URI, and has asked
    /// to hear of it in the request of this id (JSON), where it is a stateless
    /// one. What else it says keeps its bytes.
    #[must_use]
    pub fn retold(&self, uri: &str, subscription: Option<&str>) -> Bytes {
        if self.message.whole.len() > MAX_BYTES {
            return plain(uri, subscription);
        }
        let cuts = self.meta.and_then(|meta| {
            let cuts = Members::cut(self.message.text(meta), |key| key == SUBSCRIPTION_ID).ok()?;
            Some((meta, cuts))
        });
        let tag = subscription.map(|id| match &cuts {
            Some((meta, cuts)) if cuts.keeps_members => (meta.start() + 1, subscription_tag(id) + ","),
            Some((meta, _)) => (meta.start() + 1, subscription_tag(id)),
            None => (self.params.start() + 1, tagged_meta(id)),
        });
        let uri = quoted(uri);
        let mut splice = Splice::default();
        splice.replace(self.place, uri.as_bytes());
        if let Some((at, tag)) = &tag {
            splice.insert(*at, tag.as_bytes());
        }
        if let Some((meta, cuts)) = &cuts {
            cuts.spans.iter().for_each(|cut| splice.remove(cut.start + meta.start()..cut.end + meta.start()));
        }
        splice.apply(self.message.whole.as_bytes())
    }
}

/// The notification that a resource may have changed, where no server says it.
#[must_use]
pub fn plain(uri: &str, subscription: Option<&str>) -> Bytes {
    let meta = subscription.map(tagged_meta).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","method":"{METHOD}","params":{{{meta}"uri":{}}}}}"#, quoted(uri)).into()
}

/// A `_meta` that says whose subscription it is, before other members.
fn tagged_meta(id: &str) -> String {
    format!(r#""_meta":{{{}}},"#, subscription_tag(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retold(params: &str, uri: &str, subscription: Option<&str>) -> Option<String> {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{METHOD}","params":{params}}}"#);
        let message = UpstreamMessage::scan(text.into()).unwrap();
        let UpstreamKind::Notification { params: Some(params), .. } = message.kind else { panic!("a notification") };
        let retold = Update::read(&message, params)?.retold(uri, subscription);
        let text = String::from_utf8(retold.to_vec()).unwrap();
        let (_, params) = text.split_once(r#""params":"#).unwrap();
        Some(params[..params.len() - 1].to_owned())
    }

    #[test]
    fn a_client_hears_its_own_uri_and_everything_else_as_it_was() {
        let tagged =
            r#"{ "uri" : "a:\u0062","_meta":{"io.modelcontextprotocol/subscriptionId":7, "x" : 1e2}, "more":[ 1.0 ]}"#;
        assert_eq!(
            retold(tagged, "u+a:b", None).unwrap(),
            r#"{ "uri" : "u+a:b","_meta":{ "x" : 1e2}, "more":[ 1.0 ]}"#
        );
        assert_eq!(
            retold(tagged, "u+a:b", Some("\"l\"")).unwrap(),
            r#"{ "uri" : "u+a:b","_meta":{"io.modelcontextprotocol/subscriptionId":"l", "x" : 1e2}, "more":[ 1.0 ]}"#
        );
        for (params, expected) in [
            (r#"{"uri":"a"}"#, r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3},"uri":"b"}"#),
            (r#"{"_meta":{},"uri":"a"}"#, r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3},"uri":"b"}"#),
        ] {
            assert_eq!(retold(params, "b", Some("3")).unwrap(), expected);
        }
        for params in ["{}", r#"{"uri":7}"#] {
            assert_eq!(retold(params, "b", None), None, "{params}");
        }
    }

    #[test]
    fn what_is_long_is_cut_down_to_what_it_must_say() {
        let long = format!(r#"{{"uri":"a","note":"{}"}}"#, "x".repeat(MAX_BYTES));
        assert_eq!(retold(&long, "b\"", None).unwrap(), r#"{"uri":"b\""}"#);
        let meta = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3},"uri":"b"}"#;
        assert_eq!(retold(&long, "b", Some("3")).unwrap(), meta);
    }
}
