"""Trains the built-in demonstration model from scratch and writes it in the Hugging Face format.

One command, one seed, no downloads:

    python train.py --out ../builtin

The number of steps is fixed, so the result does not depend on how fast the machine is.
"""

import argparse
import copy
import json
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

from chat_format import ANSWER_END, asked, build_tokenizer, save_tokenizer
from samples import Samples

IGNORED = -100


def encode(tokenizer, rng, conversation, short):
    """Token ids of a conversation and the labels: only answers are learned.

    `short` is the chance that the last answer is cut. Which answer it is shows in its first words, and those need the most
    practice; the rest is known by heart early on.
    """
    ids, labels = [], []

    def put(text, learned):
        found = tokenizer.encode(text).ids
        ids.extend(found)
        labels.extend(found if learned else [IGNORED] * len(found))

    for number, (question, answer) in enumerate(conversation):
        put(asked(question), False)
        before = len(ids)
        put(f"{answer}{ANSWER_END}", True)
        if number + 1 < len(conversation):
            put("\n", False)
        elif rng.random() < short:
            end = before + rng.randint(3, 9)
            del ids[end:], labels[end:]
    return ids, labels


class Batches:
    """Batches of about the same number of tokens, each of conversations of about the same length."""

    def __init__(self, samples, tokenizer, tokens):
        self.samples, self.tokenizer, self.tokens, self.ready = samples, tokenizer, tokens, []

    def _fill(self, short, several):
        rng = self.samples.rng
        pool = [encode(self.tokenizer, rng, self.samples.conversation(several), short) for _ in range(800)]
        pool = sorted((p for p in pool if len(p[0]) <= 640), key=lambda p: len(p[0]))
        start = 0
        while start < len(pool):
            end, longest = start, 0
            while end < len(pool) and len(pool[end][0]) * (end - start + 1) <= self.tokens:
                longest = len(pool[end][0])
                end += 1
            self.ready.append((pool[start:end], longest))
            start = end
        self.samples.rng.shuffle(self.ready)

    def next(self, short, several):
        """Input ids and labels, padded on the right: with causal attention padding needs no mask."""
        if not self.ready:
            self._fill(short, several)
        rows, longest = self.ready.pop()
        ids = torch.ones(len(rows), longest, dtype=torch.long)
        labels = torch.full((len(rows), longest), IGNORED)
        for row, (tokens, wanted) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, : len(wanted)] = torch.tensor(wanted)
        return ids, labels


def attention_in_f32(module, query, key, value, attention_mask, scaling, **_):
    """Causal attention computed in F32, where the CPU kernel is several times faster than in BF16."""
    del module, attention_mask
    key, value = (t.float().repeat_interleave(query.shape[1] // t.shape[1], dim=1) for t in (key, value))
    found = F.scaled_dot_product_attention(query.float(), key, value, is_causal=True, scale=scaling)
    return found.to(query.dtype).transpose(1, 2).contiguous(), None


def build_model(arguments, vocabulary):
    """A Llama of a few million parameters with weights drawn from the seed."""
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=arguments.hidden, intermediate_size=arguments.intermediate,
        num_hidden_layers=arguments.layers, num_attention_heads=arguments.hidden // 32,
        num_key_value_heads=arguments.hidden // 64, max_position_embeddings=1024, tie_word_embeddings=True,
        attention_dropout=0.0, bos_token_id=0, eos_token_id=3, pad_token_id=1,
    )
    return LlamaForCausalLM(config)


def optimizers(model, arguments):
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    adam = torch.optim.AdamW(others, lr=arguments.lr, betas=(0.9, 0.98), weight_decay=0.01)
    if arguments.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), lr=arguments.lr, betas=(0.9, 0.98), weight_decay=0.05)]
    return [torch.optim.Muon(matrices, lr=arguments.muon_lr, weight_decay=0.05, adjust_lr_fn="original"), adam]


def save(model, tokenizer, out, facts):
    """Writes the whole model folder: weights in F16, tokenizer, template, settings."""
    out.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).half()
    half.config.dtype = torch.float16
    half.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    save_tokenizer(tokenizer, out)
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def gather_gradients(working, master, workers):
    """Puts the mean of all workers' gradients into the master; the order of the sum is fixed, so the result is too."""
    flat = torch.cat([p.grad.float().flatten() for p in working.parameters()])
    if workers > 1:
        dist.all_reduce(flat)
        flat /= workers
    parameters = list(master.parameters())
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        parameter.grad = part.view_as(parameter)


def copy_weights(source, target):
    """Copies all weights, rounding them to the precision of the target."""
    with torch.no_grad():
        for to, come in zip(target.parameters(), source.parameters()):
            to.copy_(come)


def loss_of(model, ids, labels):
    """Cross entropy over the positions that are learned; only they need the wide product with the vocabulary."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    wanted = labels[:, 1:].flatten()
    chosen = wanted != IGNORED
    return F.cross_entropy(model.lm_head(hidden[:, :-1].flatten(0, 1)[chosen]).float(), wanted[chosen])


def work(rank, arguments):
    """One worker: its own conversations, the same model as all others. The first one prints and saves."""
    torch.set_num_threads(1)
    if arguments.workers > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(arguments.port)}
        dist.init_process_group("gloo", rank=rank, world_size=arguments.workers)
    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True)
    if arguments.continued:
        tokenizer = Tokenizer.from_file(str(arguments.continued / "tokenizer.json"))
    else:
        tokenizer = build_tokenizer(Samples(arguments.seed), arguments.vocabulary)
    samples = Samples(arguments.seed + 1 + rank)
    model = build_model(arguments, tokenizer.get_vocab_size())  # the master in F32
    if arguments.continued:
        copy_weights(LlamaForCausalLM.from_pretrained(arguments.continued, dtype=torch.float32), model)
    AttentionInterface.register("float32", attention_in_f32)
    working = copy.deepcopy(model).to(torch.float32 if arguments.float32 else torch.bfloat16)
    working.set_attn_implementation("float32")
    parameters = sum(p.numel() for p in model.parameters())
    batches = Batches(samples, tokenizer, arguments.tokens)
    tuned = optimizers(model, arguments)
    rates = [[group["lr"] for group in one.param_groups] for one in tuned]
    started, tokens, average = time.time(), 0, None
    facts = {"parameters": parameters, "seed": arguments.seed, "steps": arguments.steps, "workers": arguments.workers}
    if rank == 0:
        print(f"{parameters} parameters, vocabulary {tokenizer.get_vocab_size()}", flush=True)

    for step in range(1, arguments.steps + 1):
        done = step / arguments.steps
        factor = min(1.0, step / 40) * min(1.0, 0.02 + 1.8 * (1 - done))
        for one, base in zip(tuned, rates):
            for group, rate in zip(one.param_groups, base):
                group["lr"] = rate * factor
        # At the end answers are practised whole, and conversations of several turns more often.
        short = 0.3 if done > 0.94 or (step < 80 and not arguments.continued) else arguments.short
        ids, labels = batches.next(short, several=0.12 if done < 0.5 else 0.25)
        loss = loss_of(working, ids, labels)
        working.zero_grad()
        loss.backward()
        gather_gradients(working, model, arguments.workers)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for one in tuned:
            one.step()
        copy_weights(model, working)
        tokens += ids.numel() * arguments.workers
        average = loss.item() if average is None else 0.97 * average + 0.03 * loss.item()
        if rank == 0 and step % 25 == 0:
            seconds = time.time() - started
            print(f"{seconds:.0f}s step {step} loss {average:.4f} {tokens / seconds:.0f} tokens/s, CPU {time.process_time():.0f}s", flush=True)
        if rank == 0 and (step % arguments.checkpoint_every == 0 or step == arguments.steps):
            facts |= {"step": step, "tokens": tokens, "loss": round(average, 4)}
            save(model, tokenizer, arguments.out, facts)
    if arguments.workers > 1:
        dist.barrier()
        dist.destroy_process_group()


def main():
    """Reads the arguments and starts the workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--continue", dest="continued", type=Path, help="go on from this model folder and its tokenizer")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--tokens", type=int, default=3072, help="tokens in a worker's batch, padding included")
    parser.add_argument("--short", type=float, default=0.85, help="chance that the last answer is cut")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--intermediate", type=int, default=768)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--optimizer", choices=["adamw", "muon"], default="muon")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--float32", action="store_true", help="compute in F32; by default in BF16 with F32 masters")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread; another number gives other weights")
    parser.add_argument("--port", type=int, default=29411, help="where the workers meet, on loopback")
    parser.add_argument("--checkpoint-every", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.workers == 1:
        work(0, arguments)
    else:
        processes.spawn(work, args=(arguments,), nprocs=arguments.workers)


if __name__ == "__main__":
    main()
