"""The tokenizer and the chat template: ChatML, with an optional system message."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
ANSWER_END = "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build_tokenizer(samples, size):
    """A byte-level BPE learned from what the model will read and write."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [text for _ in range(8000) for pair in samples.conversation()[1] for text in pair]
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL],
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer, out):
    """Writes tokenizer.json, tokenizer_config.json, chat_template.jinja and generation_config.json."""
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "pad_token": SPECIAL[1],
        "eos_token": ANSWER_END, "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
    }
    generation = {
        "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 3, "do_sample": False, "repetition_penalty": 1.0,
        "max_new_tokens": 128,
    }
    for name, content in {"tokenizer_config.json": settings, "generation_config.json": generation}.items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
