//! Measures candle: `compare-candle CHECKPOINT PROMPT TOKENS`, one line of JSON.

use std::error::Error;
use std::time::Instant;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (folder, prompt, tokens): (_, usize, usize) = (&arguments[1], arguments[2].parse()?, arguments[3].parse()?);
    let config: LlamaConfig = serde_json::from_slice(&std::fs::read(format!("{folder}/config.json"))?)?;
    let config = config.into_config(false);
    let device = Device::Cpu;
    // SAFETY: nobody changes the file meanwhile.
    let weights = unsafe {
        VarBuilder::from_mmaped_safetensors(&[format!("{folder}/model.safetensors")], DType::F32, &device)?
    };
    let model = Llama::load(weights, &config)?;
    let ids: Vec<u32> = (0..prompt).map(|id| (id * 7919 % config.vocab_size) as u32).collect();
    // One round that is not measured, then one that is.
    for is_measured in [false, true] {
        let mut cache = Cache::new(true, DType::F32, &config, &device)?;
        let begun = Instant::now();
        let mut token = step(&model, &mut cache, &ids, 0)?;
        let first = Instant::now();
        for index in 0..tokens {
            token = step(&model, &mut cache, &[token], prompt + index)?;
        }
        let last = Instant::now();
        if is_measured {
            let figures = serde_json::json!({
                "prompt": prompt as f64 / (first - begun).as_secs_f64(),
                "answer": tokens as f64 / (last - first).as_secs_f64(),
            });
            println!("{figures}");
        }
    }
    Ok(())
}

fn step(model: &Llama, cache: &mut Cache, ids: &[u32], position: usize) -> candle_core::Result<u32> {
    let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
    model.forward(&input, position, cache)?.argmax(D::Minus1)?.squeeze(0)?.to_scalar()
}
