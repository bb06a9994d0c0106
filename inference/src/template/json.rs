//! `tojson` as `transformers` defines it: what Python's `json.dumps` writes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};

/// `indent`, `separators`, `ensure_ascii` and `sort_keys` are Python's.
pub(super) fn tojson(value: &Value, arguments: &Kwargs) -> Result<String, Error> {
    let ensure_ascii: Option<bool> = arguments.get("ensure_ascii")?;
    let indent: Option<usize> = arguments.get("indent")?;
    let sort_keys: Option<bool> = arguments.get("sort_keys")?;
    let separators: Option<Vec<String>> = arguments.get("separators")?;
    arguments.assert_all_used()?;
    let mut style = Python {
        item: if indent.is_some() { ",".to_owned() } else { ", ".to_owned() },
        key: ": ".to_owned(),
        indent: indent.map(|width| width.min(16)),
        ascii: ensure_ascii.unwrap_or(false),
        depth: 0,
        empty: false,
    };
    if let Some([item, key]) = separators.as_deref() {
        style.item.clone_from(item);
        style.key.clone_from(key);
    }
    let sorted = if sort_keys.unwrap_or(false) { sorted(value)? } else { value.clone() };
    let mut json = Vec::new();
    let written = sorted.serialize(&mut Serializer::with_formatter(&mut json, style));
    written.map_err(|_| Error::new(ErrorKind::BadSerialization, "this is not JSON"))?;
    String::from_utf8(json).map_err(|_| Error::new(ErrorKind::BadSerialization, "this is not JSON"))
}

fn sorted(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map => {
            let pair = |key: Value| Ok((key.clone(), sorted(&value.get_item(&key)?)?));
            let pairs: Result<BTreeMap<Value, Value>, Error> = value.try_iter()?.map(pair).collect();
            Ok(Value::from(pairs?))
        }
        ValueKind::Seq => value.try_iter()?.map(|item| sorted(&item)).collect(),
        _ => Ok(value.clone()),
    }
}

struct Python {
    item: String,
    key: String,
    indent: Option<usize>,
    ascii: bool,
    depth: usize,
    empty: bool,
}

// === impl Python ===

impl Python {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(width) = self.indent else { return Ok(()) };
        write!(writer, "\n{:spaces$}", "", spaces = width * self.depth)
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !self.ascii {
            return writer.write_all(fragment.as_bytes());
        }
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}
