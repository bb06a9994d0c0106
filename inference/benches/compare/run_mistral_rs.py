"""Measures mistral.rs (mistralrs): `run_mistral_rs.py CHECKPOINT PROMPT TOKENS`, one line of JSON."""

import json
import sys

from mistralrs import Architecture, ChatCompletionRequest, ModelDType, Runner, Which


def main(path, prompt, tokens):
    """One round that is not measured, then one that is; the figures are its own."""
    which = Which.Plain(model_id=path, arch=Architecture.Llama, dtype=ModelDType.F32)
    runner = Runner(which=which, max_seqs=1, no_kv_cache=False, prefix_cache_n=0)
    for number in range(2):
        content = f"{number} {'gateway ' * prompt}"[:prompt]
        request = ChatCompletionRequest(
            model="m", messages=[{"role": "user", "content": content}], max_tokens=tokens, temperature=0.0, top_k=1
        )
        usage = runner.send_chat_completion_request(request).usage
    print(json.dumps({"prompt": usage.avg_prompt_tok_per_sec, "answer": usage.avg_compl_tok_per_sec}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
