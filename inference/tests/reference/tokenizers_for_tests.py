"""Small tokenizers of the kinds that published checkpoints have, trained on the spot."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

WORDS = ["gateway", "tool", "server", "session", "stream", "error", "token", "route", "policy", "client"]
CORPUS = [
    f"the {a} of the {b} is {c}, number {i}" for i, a in enumerate(WORDS) for b in WORDS for c in ("ready", "closed", "slow")
]
# The patterns of the GPT-4 line: contractions, words, digits, punctuation, blank space.
QWEN_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")


def byte_level(vocab_size: int, specials: list[str], plain: list[str] = (), split: str | None = None, nfc: bool = False) -> Tokenizer:
    """Byte-level BPE. `plain` are added tokens that are not special, as Qwen's <think>."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(plain),
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in plain])
    return filled(tokenizer, vocab_size)


def sentence_piece(vocab_size: int, specials: list[str], metaspace: bool) -> Tokenizer:
    """BPE as SentencePiece makes it: blank space is a letter, bytes stand in for what is unknown."""
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(specials) + alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    # The bytes are ordinary tokens of the model.
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = written["added_tokens"][: len(specials)]
    tokenizer = Tokenizer.from_str(json.dumps(written))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return filled(tokenizer, vocab_size)


def filled(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """Fills the vocabulary up to the model's, so that each id a random model emits has a text."""
    written = json.loads(tokenizer.to_str())
    vocabulary = written["model"]["vocab"]
    known = set(vocabulary.values()) | {token["id"] for token in written["added_tokens"]}
    for number in sorted(set(range(vocab_size)) - known):
        vocabulary[f"w{number}"] = number
    return Tokenizer.from_str(json.dumps(written))
