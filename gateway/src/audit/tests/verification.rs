//! What `verify` says of logs that somebody worked on.

use super::*;

/// A valid log's lines: `opened` and four calls.
fn log() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    record(&settings, &["a", "b", "c", "d"]);
    std::fs::read_to_string(&settings.file).unwrap().lines().map(str::to_owned).collect()
}

/// The line and the fault that are found.
fn fault(lines: &[String]) -> Option<(u64, Fault)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    match verify(file.path()) {
        Ok(_) => None,
        Err(VerifyError::Line { line, fault }) => Some((line, fault)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_untouched_log_is_valid() {
    assert_eq!(fault(&log()), None);
}

#[test]
fn an_altered_line_is_found() {
    let mut lines = log();
    lines[2] = lines[2].replace("apiKey:ci", "apiKey:co");
    assert_eq!(fault(&lines), Some((3, Fault::Altered)));
    let mut last = log();
    last[4] = last[4].replace("success", "denied");
    assert_eq!(fault(&last), Some((5, Fault::Altered)));
}

#[test]
fn a_line_sealed_anew_does_not_fit_the_next() {
    let mut lines = log();
    let mut chain = chain::Link::parse(lines[1].as_bytes()).unwrap().chain();
    let mut forged = Vec::new();
    chain.push(&mut forged, std::time::SystemTime::now(), |out| out.extend_from_slice(b",\"principal\":\"nobody\""));
    lines[2] = String::from_utf8(forged).unwrap().trim_end().to_owned();
    assert_eq!(fault(&lines), Some((4, Fault::Altered)));
}

#[test]
fn removed_lines_are_found_in_the_midst_and_at_the_beginning() {
    let mut lines = log();
    lines.remove(2);
    assert_eq!(fault(&lines), Some((3, Fault::Removed)));
    assert_eq!(fault(&log()[1..]), Some((1, Fault::Removed)));
}

#[test]
fn reordered_and_repeated_lines_are_found() {
    let mut lines = log();
    lines.swap(2, 3);
    // The later line comes first: what should stand before it is missing.
    assert_eq!(fault(&lines), Some((3, Fault::Removed)));
    let mut repeated = log();
    repeated.insert(3, repeated[1].clone());
    assert_eq!(fault(&repeated), Some((4, Fault::Reordered)));
}

#[test]
fn foreign_lines_are_found() {
    for foreign in ["", "garbage", "{\"seq\":3}"] {
        let mut lines = log();
        lines.insert(2, foreign.to_owned());
        assert_eq!(fault(&lines), Some((3, Fault::Altered)), "{foreign:?}");
    }
    let mut two = log();
    two.extend(["x".to_owned(), "y".to_owned()]);
    assert_eq!(fault(&two), Some((6, Fault::Altered)));
    let mut long = log();
    long.push("x".repeat(300_000));
    assert_eq!(fault(&long), Some((6, Fault::Altered)));
}

#[test]
fn a_hidden_torn_line_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    record(&settings, &["a", "b"]);
    let whole = std::fs::read(&settings.file).unwrap();
    std::fs::write(&settings.file, &whole[..whole.len() - 30]).unwrap();
    record(&settings, &["c"]);
    let mut lines: Vec<_> = std::fs::read_to_string(&settings.file).unwrap().lines().map(str::to_owned).collect();
    lines.remove(2);
    assert_eq!(fault(&lines), Some((3, Fault::Removed)));
}

#[test]
fn an_empty_file_proves_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(verify(file.path()), Err(VerifyError::Empty)));
}
