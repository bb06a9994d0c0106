#!/usr/bin/env python3
"""Makes tiny random checkpoints of every family, with what transformers computes on them.

Nothing is downloaded. In OUT, one folder per variant, as published on Hugging
Face (config.json, generation_config.json, safetensors, tokenizer.json,
tokenizer_config.json, chat_template.jinja) and beside it the reference:

  reference.json         {"sequences": [{"input_ids": [...], "greedy": [...]}, ...]}
  reference.safetensors  "logits.0", "logits.1", ...: f32 [tokens, vocabulary]
  reference_chat.json    [{"messages": [...], "text": "...", "ids": [...]} or
                          {"messages": [...], "error": "..."}]

Dates are those of 2 January 2026. Usage: make_checkpoints.py OUT [VARIANT ...]
"""

import datetime
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils, logging

import templates
from conversations import CONVERSATIONS
from tokenizers_for_tests import LLAMA3_SPLIT, QWEN_SPLIT, byte_level, sentence_piece

VOCABULARY = 512
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rms_norm_eps=1e-5,
)
LENGTHS = (48, 17)
GREEDY_TOKENS = 32
# A greedy choice closer than this could fall either way by rounding alone.
LEAST_MARGIN = 0.02


class Day(datetime.datetime):
    """The one day that templates which print the date are given."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 2, 3, 4, 5)


CHATML = dict(specials=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], bos=None, eos="<|im_end|>", pad="<|endoftext|>")
HEADERS = dict(
    specials=["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    pad="<|end_of_text|>",
)
INST = dict(specials=["<unk>", "<s>", "</s>"], bos="<s>", eos="</s>", pad="</s>")


def chatml_tokenizer(**how):
    return lambda: byte_level(VOCABULARY, CHATML["specials"], **how)


def inst_tokenizer(metaspace):
    return lambda: sentence_piece(VOCABULARY, INST["specials"], metaspace)


def headers_tokenizer():
    return byte_level(VOCABULARY, HEADERS["specials"], split=LLAMA3_SPLIT)


def qwen_tokenizer():
    return byte_level(VOCABULARY, CHATML["specials"], plain=["<think>", "</think>"], split=QWEN_SPLIT, nfc=True)


# family, configuration, tokenizer, its special tokens, template; then how it is written.
VARIANTS = {
    "llama": ("Llama", {}, inst_tokenizer(False), INST, templates.INST, {}),
    "llama-tied": ("Llama", dict(tie_word_embeddings=True), chatml_tokenizer(), CHATML, templates.CHATML, {"template": "inline"}),
    "llama-bias": (
        "Llama",
        dict(attention_bias=True, mlp_bias=True, num_key_value_heads=4),
        chatml_tokenizer(),
        CHATML,
        templates.MACROS,
        {"template": "named"},
    ),
    "llama3": (
        "Llama",
        dict(
            rope_parameters=dict(
                rope_type="llama3",
                rope_theta=500000.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            )
        ),
        headers_tokenizer,
        HEADERS,
        templates.HEADERS,
        {"config": "transformers 4"},
    ),
    "llama-linear": (
        "Llama",
        dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
        inst_tokenizer(True),
        INST,
        templates.INST,
        {"config": "transformers 4"},
    ),
    "llama-f16": ("Llama", {}, chatml_tokenizer(), CHATML, templates.CHATML, {"dtype": torch.float16}),
    "llama-bf16": ("Llama", {}, chatml_tokenizer(), CHATML, templates.CHATML, {"dtype": torch.bfloat16, "config": "transformers 4"}),
    "llama-sharded": ("Llama", {}, chatml_tokenizer(), CHATML, templates.CHATML, {"shard": "200KB"}),
    "mistral": (
        "Mistral",
        dict(sliding_window=None, head_dim=32, rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
        inst_tokenizer(True),
        INST,
        templates.INST,
        {},
    ),
    "mistral-window": ("Mistral", dict(sliding_window=16), inst_tokenizer(False), INST, templates.INST, {"template": "inline"}),
    "qwen2": ("Qwen2", dict(tie_word_embeddings=True), qwen_tokenizer, CHATML, templates.CHATML, {}),
    "qwen2-window": (
        "Qwen2",
        dict(use_sliding_window=True, sliding_window=12, max_window_layers=1, num_hidden_layers=3),
        qwen_tokenizer,
        CHATML,
        templates.CHATML,
        {},
    ),
    "qwen2-yarn": (
        "Qwen2",
        dict(
            max_position_embeddings=128,
            rope_parameters=dict(rope_type="yarn", rope_theta=1000000.0, factor=4.0, original_max_position_embeddings=32),
        ),
        qwen_tokenizer,
        CHATML,
        templates.CHATML,
        {"config": "transformers 4"},
    ),
    "qwen3": ("Qwen3", dict(head_dim=32, num_hidden_layers=3), qwen_tokenizer, CHATML, templates.THINKING, {}),
    "qwen3-tied": ("Qwen3", dict(head_dim=32, tie_word_embeddings=True), qwen_tokenizer, CHATML, templates.THINKING, {"config": "transformers 4"}),
}


def make(out: pathlib.Path, name: str, seed: int) -> None:
    family, settings, make_tokenizer, tokens, template, written = VARIANTS[name]
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=make_tokenizer(),
        bos_token=tokens["bos"],
        eos_token=tokens["eos"],
        pad_token=tokens["pad"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    identifier = lambda token: None if token is None else tokenizer.convert_tokens_to_ids(token)
    config = getattr(transformers, f"{family}Config")(
        **(SHAPE | settings),
        bos_token_id=identifier(tokens["bos"]),
        eos_token_id=identifier(tokens["eos"]),
        pad_token_id=identifier(tokens["pad"]),
    )
    model = random_model(getattr(transformers, f"{family}ForCausalLM"), config)
    dtype = written.get("dtype", torch.float32)
    model.to(dtype).save_pretrained(out, max_shard_size=written.get("shard", "5GB"))
    # The reference is what the weights as written give in full precision.
    reference(out, model.float())
    chat_reference(out, tokenizer)
    tokenizer.save_pretrained(out)
    rewrite_config(out / "config.json", written.get("config", "transformers 5"))
    move_template(out, written.get("template", "file"))
    size = sum(file.stat().st_size for file in out.glob("*"))
    print(f"{name}: {model.num_parameters()} parameters, {size // 1024} KiB", flush=True)


def random_model(kind, config):
    """Weights so large that a wrong rotation or mask shows in the logits."""
    model = kind._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn_like(weight)
            if name.endswith("bias"):
                weight.copy_(0.3 * noise)
            elif weight.dim() == 1:
                weight.copy_(1.0 + 0.3 * noise)
            else:
                weight.copy_(0.15 * noise)
    return model


def reference(out: pathlib.Path, model) -> None:
    sequences, tensors = [], {}
    for index, length in enumerate(LENGTHS):
        while True:
            ids = torch.randint(8, VOCABULARY, (1, length))
            greedy = continuation(model, ids)
            if greedy is not None:
                break
        with torch.no_grad():
            tensors[f"logits.{index}"] = model(ids).logits[0].contiguous()
        sequences.append({"input_ids": ids[0].tolist(), "greedy": greedy})
    (out / "reference.json").write_text(json.dumps({"sequences": sequences}))
    save_file(tensors, out / "reference.safetensors")


def continuation(model, ids):
    """The greedy continuation, or None where rounding could change one of its choices."""
    chosen, cache = [], None
    with torch.no_grad():
        for _ in range(GREEDY_TOKENS):
            output = model(ids, past_key_values=cache, use_cache=True)
            best, cache = output.logits[0, -1].topk(2), output.past_key_values
            if best.values[0] - best.values[1] < LEAST_MARGIN:
                return None
            chosen.append(best.indices[0].item())
            ids = best.indices[:1].view(1, 1)
    return chosen


def chat_reference(out: pathlib.Path, tokenizer) -> None:
    answers = []
    for messages in CONVERSATIONS:
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # noqa: BLE001: whatever a template refuses with
            answers.append({"messages": messages, "error": str(error)})
            continue
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        answers.append({"messages": messages, "text": text, "ids": ids})
    (out / "reference_chat.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1))


def rewrite_config(path: pathlib.Path, series: str) -> None:
    """Transformers 4 wrote rotary settings and the precision under other names."""
    if series == "transformers 5":
        return
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2))


def move_template(out: pathlib.Path, where: str) -> None:
    """Older checkpoints have the template in tokenizer_config.json, alone or among named ones."""
    if where == "file":
        return
    file, path = out / "chat_template.jinja", out / "tokenizer_config.json"
    config = json.loads(path.read_text())
    template = file.read_text()
    file.unlink()
    if where == "named":
        config["chat_template"] = [{"name": "tool_use", "template": "never"}, {"name": "default", "template": template}]
        config["eos_token"] = {"__type": "AddedToken", "content": config["eos_token"], "special": True}
    else:
        config["chat_template"] = template
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False))


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    # Tensors this small are computed sooner by one thread than shared among several.
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    chat_template_utils.datetime = Day
    for seed, name in enumerate(VARIANTS):
        if not sys.argv[2:] or name in sys.argv[2:]:
            make(out / name, name, seed)


if __name__ == "__main__":
    main()
