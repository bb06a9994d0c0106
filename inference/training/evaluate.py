"""Asks the model every held-out wording and prints how many it answers rightly.

    python evaluate.py --model ../builtin

Greedy decoding; in a conversation of several turns the model's own answers stand in between. An answer is right if it
contains every fact of the wanted intent, or of one that is named as right too; an off-topic wording is answered rightly if
the answer is a refusal.
"""

import argparse
import json
from pathlib import Path

import jinja2
import torch

HERE = Path(__file__).parent
REFUSALS = ("off_topic", "unknown_about_portcullis")


def prompt(template, turns, answers):
    """The rendered conversation up to the place where the next answer begins."""
    messages = []
    for number, question in enumerate(turns):
        messages.append({"role": "user", "content": question})
        if number < len(answers):
            messages.append({"role": "assistant", "content": answers[number]})
    return template.render(messages=messages, add_generation_prompt=True)


@torch.no_grad()
def complete(model, tokenizer, prompts, longest=96):
    """Greedy answers to some prompts, computed together; the ends are aligned by padding on the left."""
    rows = [tokenizer.encode(text).ids for text in prompts]
    width = max(len(row) for row in rows)
    ids = torch.tensor([[1] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    found = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=longest, do_sample=False, eos_token_id=3, pad_token_id=1
    )
    return [tokenizer.decode([t for t in row[width:].tolist() if t > 3]) for row in found]


def ask(model, tokenizer, template, conversations, batch=32):
    """The last answer of each conversation; earlier answers are the model's own."""
    answers = [[] for _ in conversations]
    for turn in range(max(len(c) for c in conversations)):
        asked = sorted((i for i, c in enumerate(conversations) if turn < len(c)), key=lambda i: len(" ".join(conversations[i])))
        for start in range(0, len(asked), batch):
            some = asked[start : start + batch]
            texts = [prompt(template, conversations[i][: turn + 1], answers[i]) for i in some]
            for i, answer in zip(some, complete(model, tokenizer, texts)):
                answers[i].append(answer)
    return [a[-1] for a in answers]


def right(answer, names, intents):
    """Whether the answer holds all facts of one of the named intents."""
    lowered = answer.lower()
    return any(all(fact in lowered for fact in intents[name]["facts"]) for name in names)


def main():
    """Evaluates a model folder."""
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=HERE.parent / "builtin")
    parser.add_argument("--heldout", type=Path, default=HERE / "heldout.json")
    parser.add_argument("--show-misses", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    intents = {i["id"]: i for i in json.loads((HERE / "knowledge.json").read_text(encoding="utf-8"))}
    heldout = json.loads(arguments.heldout.read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    template = jinja2.Template((arguments.model / "chat_template.jinja").read_text(encoding="utf-8"))
    model = LlamaForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()

    cases = [(case["turns"], [case["intent"], *case.get("also", [])], "on") for case in heldout["on_topic"]]
    cases += [([text], list(REFUSALS), "off") for text in heldout["off_topic"]]
    answers = ask(model, tokenizer, template, [turns for turns, _, _ in cases])
    kinds = {}
    for (turns, names, side), answer in zip(cases, answers):
        kind = "off topic" if side == "off" else "follow-up" if len(turns) > 1 else intents[names[0]]["kind"].replace("_", " ")
        good = right(answer, names, intents)
        for key in {kind, "ALL " + side + " topic"}:
            count = kinds.setdefault(key, [0, 0])
            count[0] += good
            count[1] += 1
        if not good and arguments.show_misses:
            print(f"MISS [{names[0]}] {' / '.join(turns)}\n     -> {answer}")
    for kind, (good, total) in sorted(kinds.items()):
        print(f"{kind}: {good}/{total} = {good / total:.1%}")


if __name__ == "__main__":
    main()
