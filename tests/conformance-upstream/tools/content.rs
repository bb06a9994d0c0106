//! Tools that answer at once, each with another kind of content.

use rmcp::model::{CallToolResult, ContentBlock, ErrorData, ResourceContents};

use super::says;
use crate::call::Call;
use crate::client::Stop;
use crate::resources::PNG;

/// A header of a WAV file, and no sound.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

pub(super) const TOOLS: &[(&str, &str)] = &[
    ("test_simple_text", "Answers with text"),
    ("test_image_content", "Answers with a picture"),
    ("test_audio_content", "Answers with a sound"),
    ("test_embedded_resource", "Answers with a resource"),
    ("test_multiple_content_types", "Answers with text, a picture and a resource"),
    ("test_error_handling", "Always fails"),
    ("test_x_mcp_header", "Has arguments that travel in header fields, too"),
    ("json_schema_2020_12_tool", "Has a schema with every kind of keyword"),
];

pub(super) fn call(call: &Call<'_>) -> Result<CallToolResult, Stop> {
    let resource = |uri: &str, mime: &str, text: &str| {
        ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(mime))
    };
    let picture = || ContentBlock::image(PNG, "image/png");
    Ok(match call.name() {
        "test_simple_text" => says("This is a simple text response for testing."),
        "test_image_content" => CallToolResult::success(vec![picture()]),
        "test_audio_content" => CallToolResult::success(vec![ContentBlock::audio(WAV, "audio/wav")]),
        "test_embedded_resource" => {
            let text = "This is an embedded resource content.";
            CallToolResult::success(vec![resource("test://embedded-resource", "text/plain", text)])
        }
        "test_multiple_content_types" => CallToolResult::success(vec![
            ContentBlock::text("Multiple content types test:"),
            picture(),
            resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "test_error_handling" => {
            CallToolResult::error(vec![ContentBlock::text("This tool intentionally returns an error for testing")])
        }
        "test_x_mcp_header" => says(call.text("region", "nowhere")),
        "json_schema_2020_12_tool" => says(call.text("name", "nobody")),
        other => return Err(ErrorData::invalid_params(format!("no such tool: {other}"), None).into()),
    })
}
