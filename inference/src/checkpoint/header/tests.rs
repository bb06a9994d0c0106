use proptest::prelude::*;
use serde_json::json;

use super::{written::MAX_NAME_BYTES, *};
use crate::checkpoint::{
    Files,
    sample::{directory, f32s, safetensors, with_header},
};

fn table(contents: &[u8]) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let place = tempfile::tempdir().unwrap();
    let files: Files = directory(place.path(), contents);
    read(&files.open("model.safetensors").unwrap().unwrap())
}

/// The refusal of a file with this header and so many bytes after it.
fn refusal(header: &serde_json::Value, bytes: usize) -> String {
    table(&with_header(&header.to_string(), &vec![0; bytes])).unwrap_err().to_string()
}

fn two() -> Vec<u8> {
    safetensors(&[("a", "F32", vec![2, 1], f32s(&[1.0, 2.0])), ("b", "BF16", vec![3], vec![0; 6])])
}

#[test]
fn tensors_are_found_where_they_are() {
    let contents = two();
    let table = table(&contents).unwrap();
    let b = &table["b"];
    assert_eq!((b.dtype, b.shape.as_slice(), b.elements), (Dtype::BF16, [3].as_slice(), 3));
    assert_eq!(b.offset + 6, contents.len() as u64);
    assert_eq!(table["a"].offset + 8, b.offset);
}

#[test]
fn a_tensor_of_no_dimension_has_one_element() {
    let table = table(&safetensors(&[("a", "F32", vec![], f32s(&[1.0])), ("b", "F32", vec![0, 4], vec![])])).unwrap();
    assert_eq!((table["a"].elements, table["b"].elements), (1, 0));
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let contents = two();
    for length in 0..contents.len() {
        assert!(table(&contents[..length]).is_err(), "cut to {length}");
    }
    let cut = table(&contents[..contents.len() - 1]).unwrap_err().to_string();
    assert_eq!(cut, "model.safetensors: tensor b ends at byte 14 of 13: the file is cut off");
}

#[test]
fn a_header_longer_than_the_file_is_refused() {
    let mut contents = two();
    contents[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let refused = table(&contents).unwrap_err().to_string();
    let available = contents.len() - 8;
    let claim = format!("its header claims {} bytes where {available} are possible", u64::MAX);
    assert_eq!(refused, format!("model.safetensors: {claim}"));
    assert_eq!(table(b"short").unwrap_err().to_string(), "model.safetensors: is too short to be a safetensors file");
}

#[test]
fn overlapping_tensors_are_refused() {
    let header = json!({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}});
    assert_eq!(refusal(&header, 12), "model.safetensors: tensor b overlaps another");
}

#[test]
fn bytes_that_belong_to_no_tensor_are_refused() {
    let header = json!({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}});
    assert_eq!(refusal(&header, 12), "model.safetensors: 4 bytes before tensor a belong to no tensor");
    let header = json!({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}});
    assert_eq!(refusal(&header, 12), "model.safetensors: 4 bytes before its end belong to no tensor");
}

#[test]
fn a_place_of_another_size_than_the_tensor_is_refused() {
    for (shape, offsets) in [
        (json!([3]), json!([0, 8])),
        (json!([2]), json!([8, 0])),
        (json!([1_u64 << 62, 8]), json!([0, 8])),
        (json!([u64::MAX]), json!([0, 8])),
    ] {
        let refused = refusal(&json!({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}), 8);
        assert!(refused.starts_with("model.safetensors: tensor a of type F32 and shape "), "{refused}");
    }
}

#[test]
fn other_types_are_refused_by_name() {
    let refused = refusal(&json!({"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}), 8);
    let expected = "model.safetensors: tensor a is of type \"F8_E4M3\"; supported are F32, F16 and BF16";
    assert_eq!(refused, expected);
}

#[test]
fn malformed_headers_are_refused() {
    let long_name = "x".repeat(MAX_NAME_BYTES + 1);
    let entry = r#"{"dtype": "F32", "shape": [], "data_offsets": [0, 4]}"#;
    for header in [
        "",
        "[]",
        "{",
        r#"{"a": 1}"#,
        r#"{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [1,1,1,1,1,1,1,1,1], "data_offsets": [0, 4]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}"#,
        &format!(r#"{{"a": {entry}, "a": {entry}}}"#),
        &format!(r#"{{"{long_name}": {entry}}}"#),
        &format!(r#"{{"a\n": {entry}}}"#),
    ] {
        let refused = table(&with_header(header, &[0; 4])).unwrap_err().to_string();
        assert!(refused.starts_with("model.safetensors: its header is malformed: "), "{header}: {refused}");
    }
}

proptest! {
    #[test]
    fn no_header_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), available in any::<u64>()) {
        let _ = parse(&bytes, 8, available);
    }

    /// Whatever is changed in a file, the table either is refused or describes
    /// tensors that fill the file exactly.
    #[test]
    fn no_tampered_file_is_misread(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut contents = two();
        for (place, byte) in changes {
            let place = place % contents.len();
            contents[place] = byte;
        }
        if let Ok(table) = table(&contents) {
            let claimed: u64 = table.values().map(|entry| entry.elements * entry.dtype.bytes()).sum();
            let after_header = 8 + u64::from_le_bytes(contents[..8].try_into().unwrap());
            prop_assert_eq!(after_header + claimed, contents.len() as u64);
            for entry in table.values() {
                prop_assert!(entry.offset >= after_header);
            }
        }
    }

    #[test]
    fn no_numbers_in_a_header_overflow(
        sizes in proptest::collection::vec(any::<u64>(), 0..4),
        start in any::<u64>(),
        end in any::<u64>(),
        available in any::<u64>(),
    ) {
        let header = json!({"a": {"dtype": "F16", "shape": sizes, "data_offsets": [start, end]}}).to_string();
        let _ = parse(header.as_bytes(), 8 + header.len() as u64, available);
    }
}
