"""The tokenizer and the chat template: ChatML, with an optional system message."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
ANSWER_END = "<|im_end|>"
# Questions are put into one form before the model reads them: lower case and without the marks that people leave out as often
# as they write them. So small a model should not have to learn that `What is TLS?` and `what is tls` are the same. A system
# message would have no effect on it and is left out.
LEFT_OUT = "?!,\"'\u2019"
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{{ '<|im_start|>user\\n ' + message['content'] | trim | lower"
    + "".join(f" | replace({mark!r}, '')" for mark in LEFT_OUT)
    + " + '<|im_end|>\\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '<|im_start|>assistant\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def asked(question):
    """A question as the template renders it, up to the place where the answer begins."""
    question = question.strip().lower()
    for mark in LEFT_OUT:
        question = question.replace(mark, "")
    return f"<|im_start|>user\n {question}<|im_end|>\n<|im_start|>assistant\n"


def build_tokenizer(samples, size):
    """A byte-level BPE learned from what the model will read and write."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [text for _ in range(8000) for question, answer in samples.conversation() for text in (asked(question), answer)]
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
