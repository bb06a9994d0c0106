//! Who may import whom: every path into another module must point down.
//!
//! The table is the one in the documentation of the crate, so that what is
//! read there is what is checked here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Imports between modules of one floor, each with its reason. None so far:
/// whatever two siblings share has moved a floor down.
const EXCEPTIONS: [(&str, &str); 0] = [];

#[test]
fn no_import_points_up() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors(&source);
    let mut faults = Vec::new();
    for (file, imports) in imports(&source) {
        let importer = module_of(&source, &file);
        for (line, imported) in imports {
            if importer == imported || EXCEPTIONS.contains(&(&importer, &imported)) {
                continue;
            }
            let (Some(from), Some(to)) = (floors.get(&importer), floors.get(&imported)) else {
                faults.push(format!("{}:{line}: `{importer}` or `{imported}` is on no floor", file.display()));
                continue;
            };
            // Floors are counted from the roof.
            if to <= from {
                faults.push(format!("{}:{line}: `{importer}` imports `{imported}`", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "imports that do not point down:\n{}", faults.join("\n"));
}

#[test]
fn every_module_stands_on_one_floor() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors(&source);
    let lib = fs::read_to_string(source.join("lib.rs")).unwrap();
    let mut declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?.strip_suffix(';'))
        .chain(["main"])
        .collect();
    declared.sort_unstable();
    assert_eq!(floors.keys().collect::<Vec<_>>(), declared);
}

/// The model's crate knows neither HTTP nor MCP, and nobody but the chat
/// backend knows it: without it the rest is the same program.
#[test]
fn only_the_chat_backend_knows_the_models_crate() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&source, &mut files);
    let knows = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("portcullis_inference");
    let chat = source.join("backends/chat");
    let (own, others): (Vec<_>, Vec<_>) =
        files.into_iter().filter(knows).partition(|file| file.with_extension("").starts_with(&chat));
    assert!(!own.is_empty());
    assert_eq!(others, Vec::<PathBuf>::new());
}

#[test]
fn imports_are_found_outside_tests_only() {
    let code = "use crate::body::Body;\n// crate::cli\nfn f() { crate::mcp::json::g() }\nuse crate::{door, auth::Key};\n\
                #[cfg(test)]\nmod tests { use crate::app; }\n";
    let found: Vec<String> = imports_of(code).into_iter().map(|(_, module)| module).collect();
    assert_eq!(found, ["body", "mcp", "door", "auth"]);
}

/// The floor of each module, counted from the roof.
fn floors(source: &Path) -> BTreeMap<String, usize> {
    let lib = fs::read_to_string(source.join("lib.rs")).expect("the root of the crate");
    let table = lib.split("//! ```text\n").nth(1).and_then(|rest| rest.split("//! ```").next());
    let mut floors = BTreeMap::new();
    for (floor, line) in table.expect("the table is in the crate's documentation").lines().enumerate() {
        for module in line.trim_start_matches("//!").split_whitespace() {
            assert!(floors.insert(module.to_owned(), floor).is_none(), "`{module}` stands twice in the table");
        }
    }
    floors
}

/// Every file that is not a test, and what it imports on which line.
fn imports(source: &Path) -> Vec<(PathBuf, Vec<(usize, String)>)> {
    let mut files = Vec::new();
    walk(source, &mut files);
    let texts: Vec<(PathBuf, String)> = files
        .into_iter()
        .map(|file| (file.clone(), fs::read_to_string(file).expect("a source file is text")))
        .collect();
    let tests: Vec<PathBuf> = texts.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
    let is_test = |file: &Path| tests.iter().any(|test| file.with_extension("").starts_with(test));
    texts.into_iter().filter(|(file, _)| !is_test(file)).map(|(file, text)| (file, imports_of(&text))).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules that `file` declares for tests alone, as paths without `.rs`.
fn test_modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let children = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main") => file.with_file_name(""),
        _ => file.with_extension(""),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].split("mod ").nth(1)?.strip_suffix(';'))
        .map(|module| children.join(module))
        .collect()
}

/// The modules that paths beginning with `crate::` lead to, up to the tests
/// at the end of the file.
fn imports_of(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = text.find("#[cfg(test)]\nmod tests {").map_or(text, |tests| &text[..tests]);
    for (number, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for path in line.split("crate::").skip(1) {
            match path.strip_prefix('{') {
                Some(group) => {
                    let group = group.split_once('}').expect("a group of modules stands on one line").0;
                    found.extend(group.split(',').map(|path| (number + 1, first_segment(path.trim()))));
                }
                None => found.push((number + 1, first_segment(path))),
            }
        }
    }
    found
}

fn first_segment(path: &str) -> String {
    path.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// The module of the crate that a file belongs to.
fn module_of(source: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(source).expect("a file of the source").with_extension("");
    inside.iter().next().expect("a name").to_string_lossy().into_owned()
}
