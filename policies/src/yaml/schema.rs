//! JSON Schemas of the types that files decode to.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The JSON Schema (draft 2020-12) of `T` as an editor should know it.
///
/// `null` is taken out everywhere: a key without a value is refused when the
/// file is read, so the schema must not offer it. Otherwise a `subjects:` whose
/// lines were commented out would silently mean "everybody". Numbers of 32 bits
/// get the bound that is theirs.
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    bounded(&mut schema);
    schema
}

/// Follows references from `part` within `schema`; more than a few in a row is
/// a circle.
pub(super) fn follow<'a>(schema: &'a Value, mut part: &'a Value) -> &'a Value {
    for _ in 0..8 {
        let target =
            part.get("$ref").and_then(Value::as_str).and_then(|reference| schema.pointer(reference.strip_prefix('#')?));
        match target {
            Some(target) => part = target,
            None => break,
        }
    }
    part
}

fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if types.len() == 1 {
                    let only = types.remove(0);
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(values)) = object.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type") != Some(&Value::from("null")));
                if let [Value::Object(_)] = branches.as_slice() {
                    let only = branches.remove(0);
                    object.remove("anyOf");
                    if let Value::Object(only) = only {
                        for (key, value) in only {
                            object.entry(key).or_insert(value);
                        }
                    }
                }
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn bounded(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("format").is_some_and(|format| format == "uint32") {
                object.entry("maximum").or_insert(u32::MAX.into());
            }
            object.values_mut().for_each(bounded);
        }
        Value::Array(items) => items.iter_mut().for_each(bounded),
        _ => {}
    }
}
