"""Strings, loss masks, a packed row and phone books, made by the code of arXiv 2402.01032.

    git clone https://github.com/sjelassi/transformers_ssm_copy paper
    python export.py paper          # torch, numpy

Writes strings.json beside this file. Only what that code draws is kept, none of the code.
"""

import importlib.util
import json
import random
import subprocess
import sys
import types
from pathlib import Path

import numpy as np

COMMIT = "1188c47"
SEED, CONTEXT, COUNT = 12, 96, 4


def module(folder, name):
    spec = importlib.util.spec_from_file_location(name, folder / name / "data_utils.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def seed():
    random.seed(SEED)
    np.random.seed(SEED)


def asked(code, tokenizer, ids):
    """The evaluation sets: one string a row, padded."""
    for task, n, answer in [
        ("copy", 0, -1),
        ("duplicate_ngram", 3, -1),
        ("prefix_ngram", 3, 3),
        ("suffix_ngram", 3, 3),
        ("prefix_ngram", 2, 5),
        ("suffix_ngram", 2, 5),
    ]:
        drawn = code.EvalCopyDataset(
            tokenizer, ids, n_gram=n, length_answer=answer, eval_task=task,
            sequence_length=CONTEXT, min_length=12, max_length=24, batch_size=COUNT,
        )[0]
        for string, tokens, mask in zip(drawn["input"], drawn["input_ids"], drawn["mask"]):
            yield dict(task=task, n=n, string=string, ids=tokens.tolist(), mask=mask.tolist())


def packed(code, tokenizer, task):
    """A row of the training set, and the strings it was packed of."""
    strings, draw = [], code.sample_str
    code.sample_str = lambda *arguments: strings.append(draw(*arguments)) or strings[-1]
    row = code.CopyDataset(
        tokenizer, n_gram=3, length_answer=-1 if task == "copy" else 3, train_task=task,
        sequence_length=CONTEXT, min_length=8, max_length=16, batch_size=1,
    )[0]
    code.sample_str = draw
    ids, mask = (row[name][0].tolist() for name in ("input_ids", "mask"))
    return dict(task=task, n=3, strings=strings, ids=ids, mask=mask)


def books(code):
    for entries in (3, 5, 9):
        prompts = code.PhoneBookDataset(min_length=entries, max_length=entries, batch_size=2)[0]
        for prompt, label in zip(prompts["input"], prompts["label"]):
            yield dict(entries=entries, prompt=prompt, label=label)


def main(folder):
    head = subprocess.check_output(["git", "-C", folder, "rev-parse", "HEAD"], text=True)
    assert head.startswith(COMMIT), f"{folder} is at {head.strip()}, expected {COMMIT}"
    first, last = ["Ann", "Bob", "Cay", "Dan", "Eve"], ["Lee", "Ray", "Fox", "Oak", "Sun"]
    # What the pretrained experiments import; names are ours, everything around them is the code's.
    names = types.ModuleType("names")
    names.get_full_name = lambda: f"{random.choice(first)} {random.choice(last)}"
    sys.modules["names"] = names
    sys.modules["datasets"] = types.SimpleNamespace(load_dataset=None)

    synthetic, pretrained = (module(folder, name) for name in ("synthetic_exps", "pretrained_exps"))
    tokenizer, ids, _ = synthetic.get_tokenizer(types.SimpleNamespace(vocab_size=26))
    seed()
    found = dict(
        commit=COMMIT,
        examples=list(asked(synthetic, tokenizer, ids)),
        rows=[packed(synthetic, tokenizer, task) for task in ("copy", "prefix_ngram", "suffix_ngram")],
        books=list(books(pretrained)),
    )
    (Path(__file__).parent / "strings.json").write_text(json.dumps(found, indent=None) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
