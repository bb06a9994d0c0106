//! The decoder against reference numbers: tiny checkpoints of every family,
//! made with transformers, and the logits they have there.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Decoder;
use crate::checkpoint::{Files, ModelConfig};
use crate::engine::forward::{Forward, Step};
use crate::load::load;
use crate::settings::{DeviceChoice, ModelSettings, Quantization, Source};

/// The largest difference from the reference that rounding explains.
const TOLERANCE: f32 = 1e-3;

/// Two sequences of different lengths, and how the model goes on.
#[derive(Deserialize)]
struct Reference {
    sequences: Vec<Sequence>,
}

#[derive(Deserialize)]
struct Sequence {
    input_ids: Vec<u32>,
    greedy: Vec<u32>,
    /// After each token of the input: `[vocabulary]`.
    #[serde(skip)]
    logits: Vec<Vec<f32>>,
}

#[test]
fn every_family_has_its_reference_logits_on_the_cpu() {
    every_checkpoint(&DeviceChoice::Cpu, usize::MAX);
}

/// The processor plays the GPU, slowly: a few computations of each kind.
#[test]
#[cfg(feature = "gpu")]
fn every_family_has_its_reference_logits_on_software_vulkan() {
    every_checkpoint(&DeviceChoice::Adapter("llvmpipe".to_owned()), 4);
}

/// All ways to compute, each up to `most` times for a sequence.
fn every_checkpoint(device: &DeviceChoice, most: usize) {
    let mut directories: Vec<PathBuf> = std::fs::read_dir(checkpoints())
        .expect("run tests/setup.sh: it makes the reference checkpoints")
        .map(|entry| entry.expect("readable").path())
        .collect();
    directories.retain(|path| path.join("reference.json").exists());
    directories.sort();
    assert!(directories.len() >= 10, "run tests/setup.sh: it makes the reference checkpoints");
    for directory in directories {
        let name = directory.display().to_string();
        let mut decoder = decoder(&directory, device, Quantization::None);
        let reference = reference(&directory);
        prefill_agrees(&name, &mut decoder, &reference, most);
        chunks_agree(&name, &mut decoder, &reference, most);
        batches_agree(&name, &mut decoder, &reference, most);
        continuations_agree(&name, &mut decoder, &reference, most);
    }
}

#[test]
fn quantised_weights_lose_little_on_the_cpu() {
    assert_loss(&DeviceChoice::Cpu, Quantization::Q8, usize::MAX, 0.08);
    assert_loss(&DeviceChoice::Cpu, Quantization::Q4, usize::MAX, 0.6);
}

/// By Burn's own quantisation, which leaves activations as they are.
#[test]
#[cfg(feature = "gpu")]
fn quantised_weights_lose_little_on_software_vulkan() {
    let device = DeviceChoice::Adapter("llvmpipe".to_owned());
    assert_loss(&device, Quantization::Q8, 4, 0.08);
    assert_loss(&device, Quantization::Q4, 4, 0.6);
}

/// How far logits are off, in relation to their size, at the first `positions`
/// of each sequence. Random weights have no redundancy: a trained model loses
/// less.
fn assert_loss(device: &DeviceChoice, quantization: Quantization, positions: usize, most: f32) {
    let directory = checkpoints().join("llama");
    let reference = reference(&directory);
    let mut decoder = decoder(&directory, device, quantization);
    let (mut error, mut size) = (0.0, 0.0);
    for sequence in &reference.sequences {
        for (position, expected) in sequence.logits.iter().enumerate().take(positions) {
            let logits = decoder.decode(&[Step { slot: 0, position, token: sequence.input_ids[position] }]).remove(0);
            error += logits.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            size += expected.iter().map(|b| b.powi(2)).sum::<f32>();
        }
    }
    let loss = (error / size).sqrt();
    println!("{quantization:?}: logits are off by {loss:.4} of their size");
    assert!(loss < most, "{quantization:?}: logits are off by {loss} of their size");
}

/// What is drawn must not depend on who else is there: equal to the last bit.
#[test]
fn a_sequence_is_computed_the_same_whoever_is_beside_it() {
    let directory = checkpoints().join("llama");
    let reference = reference(&directory);
    for quantization in [Quantization::None, Quantization::Q8, Quantization::Q4] {
        let mut decoder = decoder(&directory, &DeviceChoice::Cpu, quantization);
        for (position, &token) in reference.sequences[0].input_ids.iter().enumerate() {
            let step = |slot| Step { slot, position, token };
            let alone = decoder.decode(&[step(0)]);
            let beside = decoder.decode(&[step(2), step(1), step(3)]);
            for logits in beside {
                assert_eq!(alone[0], logits, "{quantization:?}");
            }
        }
    }
}

/// Whole prompts of several lengths, each in one computation.
fn prefill_agrees(name: &str, decoder: &mut Decoder, reference: &Reference, most: usize) {
    for sequence in &reference.sequences {
        let tokens = &sequence.input_ids;
        for length in [tokens.len(), 1, 2, 9, tokens.len() / 2].into_iter().take(most / 3) {
            let logits = decoder.prefill(1, 0, &tokens[..length], true).expect("logits were wanted");
            close(name, "prefill", &logits, &sequence.logits[length - 1]);
        }
    }
}

/// A prompt in pieces, some of them without logits.
fn chunks_agree(name: &str, decoder: &mut Decoder, reference: &Reference, most: usize) {
    for sequence in &reference.sequences {
        for size in [16, 5, 1].into_iter().take(most / 4) {
            let mut start = 0;
            for (index, chunk) in sequence.input_ids.chunks(size).enumerate() {
                let wanted = index % 3 != 1;
                let logits = decoder.prefill(2, start, chunk, wanted);
                assert_eq!(logits.is_some(), wanted);
                start += chunk.len();
                if let Some(logits) = logits {
                    close(name, "chunks", &logits, &sequence.logits[start - 1]);
                }
            }
        }
    }
}

/// Token by token, sequences of different lengths beside each other, one of
/// them joining late.
fn batches_agree(name: &str, decoder: &mut Decoder, reference: &Reference, most: usize) {
    let [first, second] = reference.sequences.as_slice() else { panic!("two sequences") };
    let late = 2;
    for position in 0..first.input_ids.len().min(most) {
        let mut steps = vec![Step { slot: 3, position, token: first.input_ids[position] }];
        let mut expected = vec![&first.logits[position]];
        for (slot, delay) in [(0, 0), (2, late)] {
            if let Some(at) = position.checked_sub(delay).filter(|at| *at < second.input_ids.len()) {
                steps.push(Step { slot, position: at, token: second.input_ids[at] });
                expected.push(&second.logits[at]);
            }
        }
        let logits = decoder.decode(&steps);
        assert_eq!(logits.len(), steps.len());
        for (logits, expected) in logits.iter().zip(expected) {
            close(name, "decode", logits, expected);
        }
    }
}

/// The likeliest token, again and again.
fn continuations_agree(name: &str, decoder: &mut Decoder, reference: &Reference, most: usize) {
    for sequence in &reference.sequences {
        let mut logits = decoder.prefill(0, 0, &sequence.input_ids, true).expect("logits were wanted");
        let expected = &sequence.greedy[..sequence.greedy.len().min(most)];
        let mut made = Vec::new();
        for position in sequence.input_ids.len().. {
            let token = likeliest(&logits);
            made.push(token);
            if made.len() == expected.len() {
                break;
            }
            logits = decoder.decode(&[Step { slot: 0, position, token }]).remove(0);
        }
        assert_eq!(made, expected, "{name}: the greedy continuation");
    }
}

fn close(name: &str, way: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < TOLERANCE, "{name}: {way} is off by {error}");
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    u32::try_from(best.expect("not empty").0).expect("small")
}

fn decoder(directory: &Path, device: &DeviceChoice, quantization: Quantization) -> Decoder {
    let files = Files::directory(directory).expect("a directory");
    let config = ModelConfig::read(&files).expect("a configuration");
    let settings = ModelSettings {
        name: "chat".to_owned(),
        source: Source::Directory(directory.to_owned()),
        device: device.clone(),
        quantization,
        context_length: 128,
        max_concurrent: 4,
        max_queue: 4,
    };
    load(&files, &config, &settings, &mut |_, _| ControlFlow::Continue(())).expect("a model").0
}

fn reference(directory: &Path) -> Reference {
    let text = std::fs::read(directory.join("reference.json")).expect("readable");
    let mut reference: Reference = serde_json::from_slice(&text).expect("as the set-up writes it");
    let bytes = std::fs::read(directory.join("reference.safetensors")).expect("readable");
    let (header, data) = bytes.split_at(8);
    let length = usize::try_from(u64::from_le_bytes(header.try_into().expect("eight"))).expect("small");
    let (header, data) = data.split_at(length);
    let header: serde_json::Value = serde_json::from_slice(header).expect("JSON");
    for (index, sequence) in reference.sequences.iter_mut().enumerate() {
        let entry = &header[format!("logits.{index}")];
        assert_eq!(entry["dtype"], "F32");
        let number = |value: &serde_json::Value| usize::try_from(value.as_u64().expect("a number")).expect("small");
        let (from, to) = (number(&entry["data_offsets"][0]), number(&entry["data_offsets"][1]));
        let values: Vec<f32> = data[from..to].as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        sequence.logits = values.chunks(number(&entry["shape"][1])).map(<[f32]>::to_vec).collect();
        assert_eq!(sequence.logits.len(), sequence.input_ids.len());
    }
    reference
}

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/.cache/checkpoints")
}
