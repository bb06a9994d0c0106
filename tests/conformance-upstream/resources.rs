//! The resources: three that are listed, and every one of a template.

use rmcp::model::{ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

/// The resource that changes on demand.
pub(crate) const WATCHED: &str = "test://watched-resource";

/// One red pixel.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

const TEXT: &str = "text/plain";

/// What is listed.
pub(crate) fn list() -> Vec<Resource> {
    let resource = |uri: &str, name: &str, what: &str, mime: &str| {
        Resource::new(uri, name).with_description(what).with_mime_type(mime)
    };
    vec![
        resource("test://static-text", "static-text", "Text that stays", TEXT),
        resource("test://static-binary", "static-binary", "A picture that stays", "image/png"),
        resource(WATCHED, "watched-resource", "Text to subscribe to", TEXT),
    ]
}

/// What can be asked for beyond that.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = ResourceTemplate::new("test://template/{id}/data", "template");
    vec![template.with_description("Data of any id").with_mime_type("application/json")]
}

/// The content of a resource.
pub(crate) fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let text = |text: &str| ResourceContents::text(text, uri).with_mime_type(TEXT);
    let content = match uri {
        "test://static-text" => text("This is the content of the static text resource."),
        "test://static-binary" => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
        WATCHED => text("This is the content of the watched resource."),
        _ => {
            let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
            let Some(id) = id else {
                return Err(ErrorData::resource_not_found("no such resource", Some(json!({"uri": uri}))));
            };
            let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
        }
    };
    Ok(ReadResourceResult::new(vec![content]))
}
