//! The built-in default: what is served where no file is.

use std::path::Path;

use portcullis_policies::yaml::Document;

use super::Config;
use super::check::Files;
use super::load::{Policies, build};
use super::scalar::Sha256;
use super::written::Scalar;

const CONFIG: &str = "\
auth:
  apiKeys:
    keys:
      - {name: demo, sha256: \"DIGEST\", roles: [demo]}
upstreams:
  demo: {builtin: demo}
";

/// Where the program has models.
const MODELS: &str = "\
models:
  chat: {path: builtin}
";

const POLICIES: &str = "\
policies:
  - name: demo
    subjects: {roles: [demo]}
    tools: {allow: [\"demo__*\", chat]}
";

// === impl Config ===

impl Config {
    /// The built-in default, for the one API key whose SHA-256 this is: the
    /// demonstration tools and the built-in model, on loopback only.
    #[must_use]
    pub fn built_in(key_sha256: [u8; 32]) -> Self {
        let models = if cfg!(feature = "chat") { MODELS } else { "" };
        let text = CONFIG.replace("DIGEST", &Sha256(key_sha256).write()) + models;
        let read = |text: &str| Document::parse(text, "built-in").expect("the built-in default is well-formed");
        let (document, policies) = (read(&text), read(POLICIES));
        let mut files = Files::new();
        build(&document, Path::new(""), &|_| None, &mut files, Policies::Given(vec![policies]), false)
            .expect("the built-in default has no faults")
    }
}
