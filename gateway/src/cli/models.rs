//! `portcullis models`

use serde_json::{Value, json};

use super::ConfigArgs;
use super::check::lines;
use super::output::{Answer, Exit, Output};
use crate::backends::chat::survey::{Adapter, Description, adapters, describe};
use crate::backends::settings::{ModelSettings, ModelSource};

/// A configured model, and what it would run on or why it cannot.
struct Surveyed {
    name: String,
    path: String,
    outcome: Result<Description, String>,
}

/// Says what the configured models run on, and what there is to run on. Fails
/// where one cannot be loaded.
pub(super) fn run(args: &ConfigArgs, output: Output) -> anyhow::Result<Answer> {
    let config = match args.load()? {
        Ok(config) => config,
        Err(faults) => return Ok(Answer::none(lines(&faults), Exit::Misconfigured)),
    };
    let models: Vec<Surveyed> = config.models.iter().map(Surveyed::of).collect();
    let exit = if models.iter().all(|model| model.outcome.is_ok()) { Exit::Ok } else { Exit::Failed };
    Ok(match output {
        Output::Text => Answer::new(text(&models, &adapters()), exit),
        Output::Json => Answer::json(&value(&models, &adapters()), exit),
    })
}

fn text(models: &[Surveyed], adapters: &[Adapter]) -> String {
    let mut text = String::from("models\n");
    for Surveyed { name, path, outcome } in models {
        text.push_str(&format!("  {name} ({path})\n"));
        text.push_str(&match outcome {
            Ok(what) => format!(
                "    {} of {} parameters, {}\n    on {} through {}\n    memory: {} of weights, {} of cache: {} \
                 conversations of {} tokens\n",
                what.family,
                count(what.parameters),
                what.precision,
                what.device,
                what.backend,
                size(what.weight_bytes),
                size(what.cache_bytes),
                what.max_concurrent,
                what.context_length,
            ),
            Err(reason) => format!("    cannot be loaded: {reason}\n"),
        });
    }
    if models.is_empty() {
        text.push_str("  none is configured\n");
    }
    text.push_str("adapters\n");
    for Adapter { name, kind, backend } in adapters {
        text.push_str(&format!("  {name} ({kind}, {backend})\n"));
    }
    if adapters.is_empty() {
        text.push_str("  none was found: models run on the CPU\n");
    }
    text
}

fn value(models: &[Surveyed], adapters: &[Adapter]) -> Value {
    let models: Vec<Value> = models.iter().map(Surveyed::value).collect();
    let adapters: Vec<Value> = adapters
        .iter()
        .map(|Adapter { name, kind, backend }| json!({"name": name, "kind": kind, "backend": backend}))
        .collect();
    json!({"models": models, "adapters": adapters})
}

/// `1.2 MiB`
fn size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `1.2 M`
fn count(number: u64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T"])
}

fn scaled(number: u64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (number as f64, 0);
    while scaled >= step && unit + 1 < units.len() {
        scaled /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{scaled:.digits$} {}", units[unit]).trim_end().to_owned()
}

// === impl Surveyed ===

impl Surveyed {
    fn of(settings: &ModelSettings) -> Self {
        Self {
            name: settings.name.to_string(),
            path: match &settings.source {
                ModelSource::BuiltIn => "builtin".to_owned(),
                ModelSource::Folder(path) => path.display().to_string(),
            },
            outcome: describe(settings).map_err(|error| error.to_string()),
        }
    }

    fn value(&self) -> Value {
        match &self.outcome {
            Ok(what) => json!({
                "name": self.name,
                "path": self.path,
                "family": what.family,
                "parameters": what.parameters,
                "device": what.device,
                "backend": what.backend,
                "precision": what.precision,
                "weightBytes": what.weight_bytes,
                "cacheBytes": what.cache_bytes,
                "contextLength": what.context_length,
                "maxConcurrent": what.max_concurrent,
            }),
            Err(reason) => json!({"name": self.name, "path": self.path, "error": reason}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surveyed() -> [Surveyed; 2] {
        let what = Description {
            family: "qwen3".to_owned(),
            parameters: 596_049_920,
            device: "NVIDIA H200".to_owned(),
            backend: "wgpu (vulkan)".to_owned(),
            precision: "f16".to_owned(),
            weight_bytes: 1_192_099_840,
            cache_bytes: 512,
            context_length: 4096,
            max_concurrent: 8,
        };
        let of = |name: &str, outcome| Surveyed { name: name.to_owned(), path: "models/q".to_owned(), outcome };
        [of("qwen", Ok(what)), of("other", Err("no `config.json`".to_owned()))]
    }

    #[test]
    fn what_runs_where_is_told_to_people() {
        let adapter = Adapter { name: "llvmpipe".into(), kind: "software", backend: "vulkan".into() };
        let told = text(&surveyed(), &[adapter]);
        assert_eq!(
            told,
            "models\n  qwen (models/q)\n    qwen3 of 596.0 M parameters, f16\n    on NVIDIA H200 through wgpu (vulkan)\n    \
             memory: 1.1 GiB of weights, 512 B of cache: 8 conversations of 4096 tokens\n  other (models/q)\n    \
             cannot be loaded: no `config.json`\nadapters\n  llvmpipe (software, vulkan)\n"
        );
        assert!(text(&[], &[]).contains("none is configured") && text(&[], &[]).contains("run on the CPU"));
    }

    #[test]
    fn what_runs_where_is_told_to_programs() {
        let told = value(&surveyed(), &[]);
        assert_eq!(told["models"][0]["weightBytes"], 1_192_099_840_u64);
        assert_eq!(told["models"][1]["error"], "no `config.json`");
        assert_eq!(told["adapters"], json!([]));
    }
}
