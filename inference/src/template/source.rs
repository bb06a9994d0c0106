//! Where a template comes from, and what is done to it before it is compiled.

use super::TemplateError;
use crate::tokenizer::TokenizerConfig;

/// The checkpoint's template: `chat_template.jinja` where there is one, as
/// newer checkpoints have it, else what `tokenizer_config.json` holds.
///
/// # Errors
///
/// When there is none. A guess (most models know some `ChatML`) would answer,
/// only worse and without a word about why.
pub(crate) fn template_source(file: Option<&[u8]>, config: &TokenizerConfig) -> Result<String, TemplateError> {
    match file {
        Some(file) => Ok(str::from_utf8(file).map_err(|_| TemplateError::NotText)?.to_owned()),
        None => Ok(config.chat_template().ok_or(TemplateError::Absent)?.to_owned()),
    }
}

/// `{% generation %}` becomes a block that is always taken: it opens no scope
/// and keeps what the tag's signs say about blank space around it.
pub(super) fn without_generation_marks(source: &str) -> String {
    let mut rest = source;
    let mut kept = String::with_capacity(source.len());
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        kept.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end);
        let word = tag[2..].trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        match word {
            "generation" => kept.push_str(&tag.replacen(word, "if true", 1)),
            "endgeneration" => kept.push_str(&tag.replacen(word, "endif", 1)),
            _ => kept.push_str(tag),
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_keep_their_signs_and_the_rest_stays() {
        let source = "{%- generation -%}a{{ '{% ' }}{% endgeneration+%}{% set generation = 1 %}{%";
        let expected = "{%- if true -%}a{{ '{% ' }}{% endgeneration+%}{% set generation = 1 %}{%";
        // The opening inside the string swallows the next tag, which is
        // therefore not recognised: no published template does this.
        assert_eq!(without_generation_marks(source), expected);
        assert_eq!(without_generation_marks("{%generation%}x{%- endgeneration +%}"), "{%if true%}x{%- endif +%}");
    }

    #[test]
    fn a_file_wins_over_the_configuration() {
        let config = TokenizerConfig::new(Some(br#"{"chat_template": "old"}"#)).unwrap();
        assert_eq!(template_source(Some(b"new"), &config).unwrap(), "new");
        assert_eq!(template_source(None, &config).unwrap(), "old");
        let named = br#"{"chat_template": [{"name": "rag", "template": "a"}, {"name": "default", "template": "b"}]}"#;
        assert_eq!(template_source(None, &TokenizerConfig::new(Some(named)).unwrap()).unwrap(), "b");
    }

    #[test]
    fn no_template_is_an_error() {
        let absent = template_source(None, &TokenizerConfig::default());
        assert!(matches!(absent, Err(TemplateError::Absent)));
        assert!(matches!(template_source(Some(b"\xff"), &TokenizerConfig::default()), Err(TemplateError::NotText)));
    }
}
