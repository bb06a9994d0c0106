//! Settings that are text with a form of their own: `30s`, `4MiB`, `10.0.0.0/8`.
//!
//! A [`Scalar`] says once how its text is read. [`Written`] makes of that the
//! serde type, the JSON Schema and, through [`formats`], the check behind the
//! schema's `format`, so that a bad value is reported at its place together
//! with all other faults of the file.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use portcullis_policies::yaml::Formats;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use url::Url;

use super::scalar::{ByteSize, Sha256};
use crate::auth::Algorithm;
use crate::middleware::origin::WebOrigin;

/// A value that the file holds as text of a certain form.
pub(super) trait Scalar: Sized {
    /// The `format` in the JSON Schema.
    const FORMAT: &'static str;
    /// What an editor shows, with an example.
    const DESCRIPTION: &'static str;
    /// What fits, in the JSON Schema.
    const EXAMPLE: &'static str;
    /// Whether a bare whole number is taken too.
    const NUMBERS: bool = false;

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// What is wrong with the text and what would be right.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that is read as `self`.
    fn write(&self) -> String;
}

/// A [`Scalar`] as it stands in the file.
#[derive(Clone)]
pub(super) struct Written<T>(pub(super) T);

/// The checks for all scalars of the configuration file; it shares `cidr`,
/// `rate` and `glob` with policy files.
pub(super) fn formats() -> Formats {
    portcullis_policies::formats()
        .with(Duration::FORMAT, check::<Duration>)
        .with(ByteSize::FORMAT, check::<ByteSize>)
        .with(SocketAddr::FORMAT, check::<SocketAddr>)
        .with(Url::FORMAT, check::<Url>)
        .with(WebOrigin::FORMAT, check::<WebOrigin>)
        .with(HeaderName::FORMAT, check::<HeaderName>)
        .with(SystemTime::FORMAT, check::<SystemTime>)
        .with(Sha256::FORMAT, check::<Sha256>)
        .with(Algorithm::FORMAT, check::<Algorithm>)
}

fn check<T: Scalar>(text: &str) -> Result<(), String> {
    T::parse(text).map(drop)
}

// === impl Written ===

impl<'de, T: Scalar> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor(PhantomData))
    }
}

impl<T: Scalar> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

impl<T: Scalar> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::FORMAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if T::NUMBERS {
            json_schema!({
                "type": ["string", "integer"], "minimum": 0,
                "format": T::FORMAT, "description": T::DESCRIPTION, "examples": [T::EXAMPLE],
            })
        } else {
            json_schema!({
                "type": "string",
                "format": T::FORMAT, "description": T::DESCRIPTION, "examples": [T::EXAMPLE],
            })
        }
    }
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for WrittenVisitor<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORMAT)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::parse(text).map(Written).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        if T::NUMBERS {
            return self.visit_str(&number.to_string());
        }
        Err(E::invalid_type(de::Unexpected::Unsigned(number), &self))
    }
}
