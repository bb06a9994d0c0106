"""Writes a random Llama checkpoint in the Hugging Face format, or the same weights for llama.cpp.

    checkpoint.py FOLDER SHAPE
    checkpoint.py FOLDER OUT.gguf KIND
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

# vocabulary, hidden, feed-forward, layers, heads, heads of keys and values
SHAPES = {
    "tiny": (512, 64, 192, 2, 4, 2),
    "125m": (32000, 768, 2048, 12, 12, 4),
    "500m": (32000, 1280, 3456, 24, 20, 4),
    "1b": (32000, 2048, 5632, 22, 32, 4),
}
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GGUF_TYPES = {"f32": gguf.GGMLQuantizationType.F32, "q8_0": gguf.GGMLQuantizationType.Q8_0}
GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def tokenizer(vocabulary):
    """One token for each byte, and a text for every other id that a random model may come upon."""
    words = {token: id for id, token in enumerate(SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet()))}
    words |= {f"w{id}": id for id in range(len(words), vocabulary)}
    made = Tokenizer(models.BPE(vocab=words, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return made


def write(folder: Path, shape: str):
    """A checkpoint of this shape in F32, drawn from a fixed seed."""
    vocabulary, hidden, feed_forward, layers, heads, kv_heads = SHAPES[shape]
    folder.mkdir(parents=True, exist_ok=True)
    head_dim, rng = hidden // heads, np.random.default_rng(0)

    def drawn(*dims):
        return rng.standard_normal(dims, dtype=np.float32) * np.float32(0.02)

    tensors = {
        "model.embed_tokens.weight": drawn(vocabulary, hidden),
        "model.norm.weight": np.ones(hidden, np.float32),
        "lm_head.weight": drawn(vocabulary, hidden),
    }
    for layer in range(layers):
        tensors |= {
            f"model.layers.{layer}.self_attn.q_proj.weight": drawn(hidden, hidden),
            f"model.layers.{layer}.self_attn.k_proj.weight": drawn(kv_heads * head_dim, hidden),
            f"model.layers.{layer}.self_attn.v_proj.weight": drawn(kv_heads * head_dim, hidden),
            f"model.layers.{layer}.self_attn.o_proj.weight": drawn(hidden, hidden),
            f"model.layers.{layer}.mlp.gate_proj.weight": drawn(feed_forward, hidden),
            f"model.layers.{layer}.mlp.up_proj.weight": drawn(feed_forward, hidden),
            f"model.layers.{layer}.mlp.down_proj.weight": drawn(hidden, feed_forward),
            f"model.layers.{layer}.input_layernorm.weight": np.ones(hidden, np.float32),
            f"model.layers.{layer}.post_attention_layernorm.weight": np.ones(hidden, np.float32),
        }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float32", "torch_dtype": "float32",
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": feed_forward, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim, "hidden_act": "silu",
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "attention_bias": False, "mlp_bias": False, "bos_token_id": 0, "eos_token_id": 1,
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE,
    }
    tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    generation = {"bos_token_id": 0, "eos_token_id": 1}
    for name, content in {"config": config, "tokenizer_config": settings, "generation_config": generation}.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def interleaved(weight, heads):
    """Rows of queries or keys in the order that llama.cpp rotates: neighbours instead of halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(folder: Path, out: Path, kind: str):
    """The checkpoint in llama.cpp's format, without a vocabulary: it is given token ids."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_tokenizer_model("no_vocab")
    for name, weight in load_file(folder / "model.safetensors").items():
        name = name.removesuffix(".weight")
        if "q_proj" in name or "k_proj" in name:
            weight = interleaved(weight, heads if "q_proj" in name else kv_heads)
        if name in GGUF_NAMES:
            name = GGUF_NAMES[name]
        else:
            _, _, layer, part = name.split(".", 3)
            name = f"blk.{layer}.{GGUF_NAMES[part]}"
        stored = GGUF_TYPES[kind if weight.ndim == 2 else "f32"]
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(np.ascontiguousarray(weight), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        write(Path(sys.argv[1]), sys.argv[2])
    else:
        write_gguf(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
