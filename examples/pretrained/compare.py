"""A model's folder read by Transformers and by `examples/generate.rs`: the same text, and how fast; on Linux, which
says how much memory a process had.

    cargo build --release --features tokenizers --example generate
    pip install torch==2.15.0 transformers==5.23.0
    python examples/pretrained/compare.py DIR [--dtype bf16] [--tokens 64]

Both sides are asked in turn, greedily, in a process of their own each, with all cores. Loading is timed to the model being
ready, reading from the prompt to the first token, writing over the tokens after it.
"""
import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

PROMPTS = [
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWrite three sentences about the sea.<|im_end|>\n<|im_start|>assistant\n",
    "The quick brown fox",
    "def fibonacci(n):\n",
    "Three is a crowd, four is",
]
BINARY = Path(__file__).parents[2] / "target/release/examples/generate"


def theirs(folder, prompt, tokens):
    """In a process of its own: what Transformers says."""
    import torch
    import transformers as hf

    began = time.perf_counter()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    loaded = time.perf_counter() - began
    inputs = tokenizer(prompt, return_tensors="pt")
    length = inputs.input_ids.shape[1]
    options = dict(do_sample=False, pad_token_id=tokenizer.eos_token_id)
    with torch.no_grad():
        model.generate(**inputs, max_new_tokens=2, **options)
        began = time.perf_counter()
        model.generate(**inputs, max_new_tokens=1, **options)
        first = time.perf_counter() - began
        began = time.perf_counter()
        out = model.generate(**inputs, max_new_tokens=tokens, **options)[0, length:]
        rest = time.perf_counter() - began - first
    text = tokenizer.decode(out, skip_special_tokens=True)
    written = len(out) - int(out[-1].item() in (tokenizer.eos_token_id,))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(dict(text=text, load=loaded, read=length / first, write=(written - 1) / rest, peak=peak)))


def ours(folder, prompt, tokens, dtype):
    command = [BINARY, "--model", folder, "--prompt", prompt, "--max-tokens", str(tokens), "--dtype", dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    [load] = re.findall(r"loaded in ([\d.]+) s", done.stderr)
    [read, write] = re.findall(r"tokens read, ([\d.]+) a second; \d+ written, ([\d.]+) a second", done.stderr)[0]
    [peak] = re.findall(r"([\d.]+) MiB at most", done.stderr)
    return dict(text=done.stdout[:-1], load=float(load), read=float(read), write=float(write), peak=float(peak) * 2**20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--theirs", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.theirs is not None:
        return theirs(flags.folder, flags.theirs, flags.tokens)
    long = "A list of words: " + ", ".join(f"word{i}" for i in range(120)) + "\n"
    for prompt in [*PROMPTS, long]:
        a = ours(flags.folder, prompt, flags.tokens, flags.dtype)
        command = [sys.executable, __file__, flags.folder, "--tokens", str(flags.tokens), "--theirs", prompt]
        b = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        print(f"{prompt[:48]!r}: {'the same' if a['text'] == b['text'] else 'DIFFERENT'}")
        print(f"  {a['text'][:160]!r}")
        if a["text"] != b["text"]:
            print(f"  {b['text'][:160]!r}")
        for name, scale, unit in [("load", 1, "s"), ("read", 1, "tokens/s"), ("write", 1, "tokens/s"), ("peak", 2**20, "MiB")]:
            x, y = a[name] / scale, b[name] / scale
            print(f"  {name:5} ours {x:8.2f}, Transformers {y:8.2f} {unit}, ratio {x / y:.2f}")


main()
