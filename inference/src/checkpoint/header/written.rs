//! A file's table as written, within bounds.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Tensors a file may have.
const MAX_TENSORS: usize = 100_000;
/// Bytes a tensor's name may have.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// Dimensions a tensor may have.
const MAX_DIMENSIONS: usize = 8;

/// The table as written.
pub(super) struct Table<'a>(pub(super) BTreeMap<String, Written<'a>>);

#[derive(Deserialize)]
pub(super) struct Written<'a> {
    #[serde(borrow)]
    pub(super) dtype: Cow<'a, str>,
    pub(super) shape: Shape,
    pub(super) data_offsets: (u64, u64),
}

pub(super) struct Shape(pub(super) Vec<usize>);

// === impl Table ===

impl<'de: 'a, 'a> Deserialize<'de> for Table<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = BTreeMap<String, Written<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut tensors = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
                        return Err(A::Error::custom("a tensor's name is too long or has control characters"));
                    }
                    if tensors.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("there are more than {MAX_TENSORS} tensors")));
                    }
                    if tensors.insert(name, map.next_value()?).is_some() {
                        return Err(A::Error::custom("a tensor is listed twice"));
                    }
                }
                Ok(tensors)
            }
        }

        deserializer.deserialize_map(Entries).map(Table)
    }
}

// === impl Shape ===

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;

        impl<'de> Visitor<'de> for Sizes {
            type Value = Vec<usize>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = sequence.next_element()? {
                    if sizes.len() == MAX_DIMENSIONS {
                        return Err(A::Error::custom(format_args!("a shape has more than {MAX_DIMENSIONS} sizes")));
                    }
                    sizes.push(size);
                }
                Ok(sizes)
            }
        }

        deserializer.deserialize_seq(Sizes).map(Shape)
    }
}
