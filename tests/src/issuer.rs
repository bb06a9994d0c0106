//! Who makes tokens: a real OpenID provider, and a key of our own that makes
//! the tokens no honest provider would.

mod forge;

use serde_json::Value;

use crate::http::Request;
use crate::peer::{Peer, node};

pub use forge::{Forge, claims, now};

/// A running `oidc-provider`. It knows one confidential client and grants it
/// the scopes `mcp` and `admin` and the claim `groups: [robots]`.
#[derive(Debug)]
pub struct Issuer {
    peer: Peer,
}

// === impl Issuer ===

impl Issuer {
    /// Starts a provider.
    pub fn start() -> Self {
        let mut command = node();
        command.arg("issuer.mjs");
        Self { peer: Peer::start(command) }
    }

    /// The issuer's identifier, where its metadata is discovered.
    pub fn url(&self) -> String {
        format!("http://{}", self.peer.address)
    }

    /// An access token for `resource` by the client-credentials grant.
    ///
    /// # Panics
    ///
    /// When the provider refuses.
    pub fn token(&self, resource: &str, scope: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=robot&client_secret=robot-secret&scope={scope}&resource={resource}"
        );
        let reply = Request::new("POST", "/token")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form)
            .send(self.peer.address);
        let granted: Value = reply.json();
        granted["access_token"].as_str().unwrap_or_else(|| panic!("the issuer refused: {granted}")).to_owned()
    }

    /// Makes a new signing key, as every provider does now and then.
    ///
    /// # Panics
    ///
    /// When the provider refuses.
    pub fn rotate_key(&self) {
        assert_eq!(Request::new("POST", "/rotate").send(self.peer.address).status, 204);
    }
}
