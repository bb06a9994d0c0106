//! A checkpoint's chat template: messages to the text that the model was
//! trained on.
//!
//! Templates are Jinja as `transformers` runs it: blocks trimmed, loop
//! controls, Python's methods on strings and maps, `raise_exception`,
//! `strftime_now`, `tojson` in Python's spelling, and `{% generation %}`, which
//! marks text for training and has no meaning here. They come from a
//! checkpoint, so what one may spend is bounded, and only what it says by
//! `raise_exception` reaches the caller.

mod json;
mod source;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use time::OffsetDateTime;
use time::format_description::parse_strftime_owned;

pub(crate) use self::source::template_source;
use crate::chat::Message;

/// Instructions that one rendering may take: a few hundred per message are
/// usual. A fraction of a second where a template loops.
const FUEL: u64 = 5_000_000;
/// How deep macros may call each other; more would need a larger stack.
const MAX_RECURSION: usize = 64;
/// Characters of a template's objection that are passed on.
const MAX_OBJECTION: usize = 500;
const NAME: &str = "chat template";

/// Tells templates that print the date what it is.
pub(crate) type Clock = fn() -> OffsetDateTime;

/// Why a template cannot be used, or rendered nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// Without one, what the model takes for turns could only be guessed.
    #[error(
        "the checkpoint has no chat template, so it is no chat model: neither chat_template.jinja nor chat_template in tokenizer_config.json"
    )]
    Absent,
    /// The file is not text.
    #[error("chat_template.jinja is not UTF-8")]
    NotText,
    /// It is no template; for the operator.
    #[error("the chat template is wrong")]
    Syntax(#[source] Error),
    /// It objects to the messages; for the caller.
    #[error("{0}")]
    Objection(String),
    /// It cannot be rendered; for the operator, and without what was rendered.
    #[error("the chat template failed in line {line}: {kind}")]
    Failed {
        /// Where.
        line: usize,
        /// How.
        kind: ErrorKind,
    },
    /// It makes more text of the messages than any template should.
    #[error("the chat template made more than {0} bytes")]
    TooLong(usize),
}

/// What a template says by `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("the template objects")]
struct Objection(String);

/// A template, ready to be rendered.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
}

// === impl Template ===

impl Template {
    /// Compiles a template. `special_tokens` are the names and texts of tokens
    /// that it may mention: `bos_token`.
    ///
    /// # Errors
    ///
    /// When its syntax is wrong.
    pub(crate) fn new<'a>(
        source: &str,
        special_tokens: impl IntoIterator<Item = (&'static str, &'a str)>,
        clock: Clock,
    ) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(TemplateError::Syntax)?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.set_debug(false);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", |value: &Value, arguments: Kwargs| json::tojson(value, &arguments));
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", move |format: &str| strftime(clock(), format));
        for (name, text) in special_tokens {
            environment.add_global(name, text.to_owned());
        }
        let source = source::without_generation_marks(source);
        environment.add_template_owned(NAME, source).map_err(TemplateError::Syntax)?;
        Ok(Self { environment })
    }

    /// Renders a conversation, given as role and content; with `open`, up to
    /// where the model's answer begins. More than `most_bytes` are an error.
    ///
    /// # Errors
    ///
    /// When the template objects to the messages or cannot be rendered.
    pub(crate) fn render<'a>(
        &self,
        turns: impl IntoIterator<Item = (&'a Message, &'a str)>,
        open: bool,
        most_bytes: usize,
    ) -> Result<String, TemplateError> {
        let turn =
            |(message, content): (&Message, &str)| context! { role => message.role.as_str(), content => content };
        let messages: Vec<Value> = turns.into_iter().map(turn).collect();
        let template = self.environment.get_template(NAME).map_err(|error| failure(&error))?;
        let mut output = Output { bytes: Vec::new(), most_bytes, full: false };
        let variables = context! { messages, add_generation_prompt => open, tools => (), documents => () };
        match template.render_captured_to(variables, &mut output) {
            Ok(_) => {}
            Err(_) if output.full => return Err(TemplateError::TooLong(most_bytes)),
            Err(error) => return Err(failure(&error)),
        }
        String::from_utf8(output.bytes).map_err(|_| TemplateError::NotText)
    }
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raised").with_source(Objection(message)))
}

fn strftime(now: OffsetDateTime, format: &str) -> Result<String, Error> {
    let invalid = |_| Error::new(ErrorKind::InvalidOperation, "strftime_now does not know this format");
    let format = parse_strftime_owned(format).map_err(invalid)?;
    now.format(&format).map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now cannot write this format"))
}

/// An error from within a macro has the one it came from as its source.
fn failure(error: &Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(Objection(text)) = inner.downcast_ref() {
            return TemplateError::Objection(text.chars().take(MAX_OBJECTION).collect());
        }
        cause = inner.source();
    }
    TemplateError::Failed { line: error.line().unwrap_or_default(), kind: error.kind() }
}

/// Text up to a bound.
struct Output {
    bytes: Vec<u8>,
    most_bytes: usize,
    full: bool,
}

impl io::Write for Output {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.len() > self.most_bytes.saturating_sub(self.bytes.len()) {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
