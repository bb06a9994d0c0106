//! What the client answers when it is asked, and what it is told.
#![expect(deprecated, reason = "the handshake revisions have what the newest one deprecates")]

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rmcp::RoleClient;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams,
    ElicitResult, ErrorData, Implementation, ListRootsResult, ProgressNotificationParam, ProgressToken,
    ResourceUpdatedNotificationParam,
};
use rmcp::service::{NotificationContext, RequestContext};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::patience::PATIENCE;

type Notified = NotificationContext<RoleClient>;
type Asked = RequestContext<RoleClient>;

/// A client that can answer what the script has answers for.
pub(super) struct Answering {
    answers: Value,
    heard: Mutex<Heard>,
    more: Notify,
}

/// What a client was told.
#[derive(Default)]
pub(super) struct Heard {
    progress: HashMap<ProgressToken, Vec<f64>>,
    methods: HashSet<&'static str>,
}

// === impl Heard ===

impl Heard {
    /// Whether anything was heard of the request of this token.
    pub(super) fn has_progress(&self, token: &ProgressToken) -> bool {
        self.progress.contains_key(token)
    }
}

// === impl Answering ===

impl Answering {
    /// A client with a script's `answers`.
    pub(super) fn new(answers: &Value) -> Self {
        Self { answers: answers.clone(), heard: Mutex::default(), more: Notify::new() }
    }

    /// Forgets what was reported of earlier calls.
    pub(super) fn forget_progress(&self) {
        self.heard().progress.clear();
    }

    /// What was reported since.
    pub(super) fn progress(&self) -> Vec<f64> {
        self.heard().progress.values().flatten().copied().collect()
    }

    /// What was reported of the request of this token.
    pub(super) fn progress_of(&self, token: &ProgressToken) -> Vec<f64> {
        self.heard().progress.get(token).cloned().unwrap_or_default()
    }

    /// Waits for a notification; whether it came in time.
    pub(super) async fn hears(&self, method: &str) -> bool {
        self.until(|heard| heard.methods.contains(method)).await
    }

    /// Waits for something to be heard; whether it was in time.
    pub(super) async fn until(&self, condition: impl Fn(&Heard) -> bool) -> bool {
        let waiting = async {
            loop {
                let more = self.more.notified();
                if condition(&self.heard()) {
                    return;
                }
                more.await;
            }
        };
        timeout(PATIENCE, waiting).await.is_ok()
    }

    fn hear_method(&self, method: &'static str) {
        self.hear(|heard| {
            heard.methods.insert(method);
        });
    }

    fn hear(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut self.heard());
        self.more.notify_waiters();
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientHandler for Answering {
    async fn create_message(&self, _: CreateMessageRequestParams, _: Asked) -> Result<CreateMessageResult, ErrorData> {
        let text = json!({"type": "text", "text": self.answers["sampling"]});
        let answer = json!({"role": "assistant", "content": text, "model": "scripted", "stopReason": "endTurn"});
        serde_json::from_value(answer).map_err(internal)
    }

    async fn list_roots(&self, _: Asked) -> Result<ListRootsResult, ErrorData> {
        let uris = self.answers["roots"].as_array().into_iter().flatten();
        let roots: Vec<Value> = uris.map(|uri| json!({"uri": uri})).collect();
        serde_json::from_value(json!({"roots": roots})).map_err(internal)
    }

    async fn create_elicitation(&self, _: ElicitRequestParams, _: Asked) -> Result<ElicitResult, ErrorData> {
        serde_json::from_value(self.answers["elicitation"].clone()).map_err(internal)
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: Notified) {
        self.hear(|heard| heard.progress.entry(params.progress_token).or_default().push(params.progress));
    }

    async fn on_tool_list_changed(&self, _: Notified) {
        self.hear_method("notifications/tools/list_changed");
    }

    async fn on_prompt_list_changed(&self, _: Notified) {
        self.hear_method("notifications/prompts/list_changed");
    }

    async fn on_resource_updated(&self, _: ResourceUpdatedNotificationParam, _: Notified) {
        self.hear_method("notifications/resources/updated");
    }

    fn get_info(&self) -> ClientConfig {
        let answers = self.answers.as_object().into_iter().flatten();
        let said: Map<String, Value> = answers.map(|(question, _)| (question.clone(), json!({}))).collect();
        let capabilities: ClientCapabilities = serde_json::from_value(Value::Object(said)).expect("capabilities");
        ClientConfig::new(capabilities, Implementation::new("rust", "1.0.0"))
    }
}

fn internal(error: impl Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
