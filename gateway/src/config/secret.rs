//! Secrets: where the file says they are, and how they are fetched from there.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Check;
use super::place::Place;
use crate::secret::Secret;

/// Looks up a variable of the environment; `None` where it is not set or is
/// not text.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A secret: `{env: NAME}`, `{file: PATH}`, or the value itself, with a warning.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Secret")]
pub(super) enum SecretFile {
    /// In the environment.
    Env(EnvironmentFile),
    /// In a file.
    File(PathFile),
    /// The value itself.
    Plain(String),
}

/// `{env: NAME}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretInEnvironment")]
pub(super) struct EnvironmentFile {
    /// The variable that holds it.
    #[schemars(length(min = 1))]
    env: String,
}

/// `{file: PATH}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretInFile")]
pub(super) struct PathFile {
    /// The file that holds it; line breaks at its end do not count.
    #[schemars(length(min = 1))]
    file: String,
}

/// How a plain string is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// It is a secret, so it had better stand elsewhere.
    Warn,
    /// It is an ordinary value that may also come from elsewhere.
    Fine,
}

/// The environment of this process.
#[expect(clippy::disallowed_methods, reason = "the one place where secrets come from the environment")]
pub(super) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether a variable or header of this name is likely to hold a secret.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "token", "secret", "password", "passwd", "credential", "key"]
        .iter()
        .any(|word| name.contains(word))
}

// === impl SecretFile ===

impl SecretFile {
    /// Fetches the secret. `None` after a fault was reported.
    pub(super) fn resolve(&self, check: &mut Check<'_>, place: &Place, plain: Plain) -> Option<Secret<String>> {
        let value = match self {
            Self::Env(EnvironmentFile { env }) => {
                let Some(value) = check.environment(env) else {
                    check.fault(&place.key("env"), format!("the environment variable `{env}` is not set"));
                    return None;
                };
                value
            }
            Self::File(PathFile { file }) => {
                let place = place.key("file");
                let path = check.path(file);
                read_trimmed(check, &place, &path)?
            }
            Self::Plain(value) => {
                if value.contains("${") {
                    check.warn(place, "`${…}` is not expanded here: write {env: NAME}");
                } else if plain == Plain::Warn {
                    check.warn(place, "a secret stands in the file itself: write {env: NAME} or {file: PATH}");
                }
                value.clone()
            }
        };
        if value.is_empty() && plain == Plain::Warn {
            check.fault(place, "the secret is empty");
            return None;
        }
        Some(Secret::new(value))
    }
}

/// The content of the file without the line break that editors put at its end.
fn read_trimmed(check: &mut Check<'_>, place: &Place, path: &Path) -> Option<String> {
    match check.read(path) {
        Ok(content) => match String::from_utf8(content) {
            Ok(mut text) => {
                let end = text.trim_end_matches(['\r', '\n']).len();
                text.truncate(end);
                Some(text)
            }
            Err(_) => {
                check.fault(place, format!("`{}` is not text", path.display()));
                None
            }
        },
        Err(error) => {
            check.fault(place, format!("`{}` cannot be read: {error}", path.display()));
            None
        }
    }
}
