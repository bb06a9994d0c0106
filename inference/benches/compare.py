#!/usr/bin/env python3
"""Measures the engine beside candle, llama.cpp and mistral.rs, on the same weights and the same threads.

    inference/benches/compare.py --shape 125m --threads 1

Installs the other engines into `target/compare`, compiles ours and candle there, writes random checkpoints, and then runs
all of them in turn for some rounds, each pinned to as many CPUs as it has threads. Prints a table in Markdown: tokens per
second of a prompt and of an answer, the median of the rounds, and the ratio of ours to each other engine, formed within each
round. Figures of one run compare; those of two runs do not.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "compare"
PYTHON = WORK / "venv" / "bin" / "python"


def run(*command, **environment):
    """Runs a command to its end; what it says goes where ours goes."""
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, env=os.environ | environment)


def set_up(shape, kinds):
    """Everything that is measured, installed, compiled and written; returns the checkpoint's folder and our bench."""
    WORK.mkdir(parents=True, exist_ok=True)
    wish, stamp = (HERE / "compare" / "requirements.txt").read_text(encoding="utf-8"), WORK / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wish:
        venv.create(WORK / "venv", with_pip=True, clear=True)
        run(PYTHON, "-m", "pip", "install", "--quiet", "-r", HERE / "compare" / "requirements.txt")
        stamp.write_text(wish, encoding="utf-8")
    # Candle chooses some of its vectors when it is compiled.
    run(
        "cargo", "build", "--release", "--manifest-path", HERE / "compare" / "candle" / "Cargo.toml",
        "--target-dir", WORK / "candle", RUSTFLAGS="-C target-cpu=native",
    )
    bench = [
        "cargo", "bench", "-p", "portcullis-inference", "--no-default-features", "--features", "cpu", "--bench", "generate",
        "--target-dir", str(WORK / "ours"), "--no-run", "--message-format", "json",
    ]
    built = subprocess.run(bench, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in built.splitlines()]
    ours = next(m["executable"] for m in messages if m.get("target", {}).get("name") == "generate" and m.get("executable"))
    folder = WORK / shape
    checkpoint = HERE / "compare" / "checkpoint.py"
    if not (folder / "generation_config.json").exists():
        run(PYTHON, checkpoint, folder, shape)
    for kind in kinds:
        out = WORK / f"{shape}.{kind}.gguf"
        if not out.exists():
            part = out.with_suffix(".part")
            run(PYTHON, checkpoint, folder, part, kind)
            part.rename(out)
    return folder, ours


def pinned(command, threads, **environment):
    """The lines of JSON that a command prints, with some threads on as many CPUs."""
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)} | environment
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def ours(bench, folder, quantize, arguments):
    """Figures by the number of conversations, and how fast memory was read."""
    lines = pinned(
        [bench, "--bench"], arguments.threads, PORTCULLIS_BENCH_MODEL=str(folder), PORTCULLIS_BENCH_QUANTIZE=quantize,
        # One token for each byte of a word, and what the template puts around.
        PORTCULLIS_BENCH_PROMPT=str(arguments.prompt // 8), PORTCULLIS_BENCH_TOKENS=str(arguments.tokens),
        PORTCULLIS_BENCH_ROUNDS="2", PORTCULLIS_BENCH_BATCHES="1,8",
    )
    found = {
        line["batch"]: {"prompt": line["prompt_tokens_per_second"], "answer": line["completion_tokens_per_second"]}
        for line in lines if line.get("round") == 1
    }
    memory = next(line for line in lines if line["engine"] == "memory")
    # All but the table of embeddings, of which a token reads one row.
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    table_share = config["vocab_size"] * config["hidden_size"] * 4 / (folder / "model.safetensors").stat().st_size
    found[1]["memory"] = memory["bytes_per_second"] / (memory["weight_bytes"] * (1 - table_share))
    return found


def measure(bench, folder, arguments):
    """One round: every engine once."""
    size, threads = (arguments.prompt, arguments.tokens), arguments.threads
    compare = HERE / "compare"
    found = {}
    for precision, quantize in (("f32", "none"), ("q8", "q8"), ("q4", "q4")):
        for batch, figures in ours(bench, folder, quantize, arguments).items():
            found[f"portcullis {precision}" + (f", {batch} at once" if batch > 1 else "")] = figures
    found["candle f32"] = pinned([WORK / "candle" / "release" / "compare-candle", folder, *size], threads)[-1]
    for kind in ("f32", "q8_0"):
        model = WORK / f"{arguments.shape}.{kind}.gguf"
        found[f"llama.cpp {kind}"] = pinned([PYTHON, compare / "run_llama_cpp.py", model, *size, threads], threads)[-1]
    found["mistral.rs f32"] = pinned([PYTHON, compare / "run_mistral_rs.py", folder, *size], threads)[-1]
    return found


def table(rounds):
    """Medians, and ratios with their least and most."""

    def ratio(what, name, other):
        ratios = [one[name][what] / one[other][what] for one in rounds if one[other][what]]
        if not ratios:
            return "–"
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"

    print("| | prompt, tokens/s | answer, tokens/s |\n|---|--:|--:|")
    for name in rounds[0]:
        prompt, answer = (statistics.median(one[name][what] for one in rounds) for what in ("prompt", "answer"))
        print(f"| {name} | {prompt:.0f} | {answer:.1f} |")
    print("\n| ratio | prompt | answer |\n|---|---|---|")
    f32, q8 = "portcullis f32", "portcullis q8"
    for name, other in [
        (f32, "candle f32"), (f32, "llama.cpp f32"), (f32, "mistral.rs f32"), (q8, "llama.cpp q8_0"), (q8, f32),
        ("portcullis q4", f32), (f"{f32}, 8 at once", f32), (f"{q8}, 8 at once", q8),
    ]:
        print(f"| {name} / {other} | {ratio('prompt', name, other)} | {ratio('answer', name, other)} |")
    for name in (f32, q8, "portcullis q4"):
        shares = [one[name]["answer"] / one[name]["memory"] for one in rounds]
        print(f"| {name} / as fast as memory gives its weights | | {statistics.median(shares):.2f} ({min(shares):.2f}–{max(shares):.2f}) |")


def main():
    """Reads the arguments, sets up, measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["tiny", "125m", "500m", "1b"], default="125m")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of the answer")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder, bench = set_up(arguments.shape, ("f32", "q8_0"))
    rounds = []
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        rounds.append(measure(bench, folder, arguments))
    table(rounds)


if __name__ == "__main__":
    main()
