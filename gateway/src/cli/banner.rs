//! What the built-in default says when it has started: everything for a first call.

use std::net::SocketAddr;

/// The banner: where we are, the key, and lines that work when they are pasted.
#[must_use]
pub fn banner(listen: SocketAddr, admin: SocketAddr, key: &str) -> String {
    let url = format!("http://{listen}/mcp");
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo__add","arguments":{"a":2,"b":3}}}"#;
    let (model, chat) =
        if cfg!(feature = "chat") { (", a small language model", chat(listen, key)) } else { ("", String::new()) };
    format!(
        "\
Portcullis is up. No configuration file was named or found, so this is the
built-in default: demonstration tools{model}, and one API key that lasts
for this run.

  endpoint  {url}
  key       {key}
  metrics   http://{admin}/metrics

Call a tool:

  curl -s {url} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{call}'

{chat}Add it to an MCP client:

  claude mcp add --transport http portcullis {url} --header 'Authorization: Bearer {key}'
"
    )
}

/// The model's own line, as OpenAI's clients speak to it.
fn chat(listen: SocketAddr, key: &str) -> String {
    let body = r#"{"model":"chat","messages":[{"role":"user","content":"What are you?"}]}"#;
    format!(
        "\
Talk to the model:

  curl -s http://{listen}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'

"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_to_paste_name_the_address_and_the_key() {
        let text = banner(([127, 0, 0, 1], 18080).into(), ([127, 0, 0, 1], 19090).into(), "pcl_x");
        let curl = text.lines().find(|line| line.contains("curl")).unwrap();
        assert!(curl.contains("http://127.0.0.1:18080/mcp") && curl.contains("Bearer pcl_x"));
        let body = curl.split_once("-d '").unwrap().1.trim_end_matches('\'');
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["params"]["name"], "demo__add");
        let chat = text.lines().filter(|line| line.contains("/v1/chat/completions")).count();
        assert_eq!(chat, usize::from(cfg!(feature = "chat")));
        let add = text.lines().find(|line| line.contains("mcp add")).unwrap();
        assert!(add.contains("--transport http portcullis http://127.0.0.1:18080/mcp") && add.contains("pcl_x"));
        assert!(text.contains("http://127.0.0.1:19090/metrics"));
    }
}
