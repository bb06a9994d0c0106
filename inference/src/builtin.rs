//! The demonstration model that is part of the program.

use crate::checkpoint::Files;

/// Its files, as a directory of them would have them.
pub(crate) fn files() -> Files {
    macro_rules! embed {
        ($($name:literal),+ $(,)?) => {
            &[$(($name, include_bytes!(concat!("../builtin/", $name)))),+]
        };
    }
    Files::Embedded(embed![
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
    ])
}
