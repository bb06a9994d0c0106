"""Measures llama.cpp (llama-cpp-python): `run_llama_cpp.py MODEL.gguf PROMPT TOKENS THREADS`, one line of JSON."""

import ctypes
import json
import sys
import time

import llama_cpp as llama
import numpy as np


def main(path, prompt, tokens, threads):
    """One round that is not measured, then one that is."""
    quiet = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    settings = llama.llama_context_default_params()
    settings.n_ctx = prompt + tokens + 8
    settings.n_batch = settings.n_ubatch = max(prompt, 64)
    settings.n_threads = settings.n_threads_batch = threads
    context = llama.llama_init_from_model(model, settings)

    def step(ids):
        array = (llama.llama_token * len(ids))(*ids)
        if llama.llama_decode(context, llama.llama_batch_get_one(array, len(ids))) != 0:
            raise SystemExit("llama_decode failed")
        return int(np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), shape=(vocabulary,)).argmax())

    for _ in range(2):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        begun = time.perf_counter()
        token = step([id * 7919 % vocabulary for id in range(prompt)])
        first = time.perf_counter()
        for _ in range(tokens):
            token = step([token])
        last = time.perf_counter()
    print(json.dumps({"prompt": prompt / (first - begun), "answer": tokens / (last - first)}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
