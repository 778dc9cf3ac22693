#!/usr/bin/env python3
"""Times this crate and PyTorch on the same workloads, in turns, in one run.

    python3 benches/pytorch/compare.py [--only NAME …] [--rounds N] [--out FILE] [--markdown FILE]

Builds our side, checks that both sides' results agree, runs them alternately, prints a table. See README.md.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import report
from ours import Ours, build

try:
    import torch
    import numpy as np
    from safetensors.numpy import load_file, save_file

    # Their kernels need a GPU; without them Transformers takes its plain PyTorch code.
    for package in ("fla", "mamba_ssm", "causal_conv1d", "kernels"):
        sys.modules[package] = None
    warnings.filterwarnings("ignore")
    from workloads import WORKLOADS
except ModuleNotFoundError as missing:
    sys.exit(f"compare.py: {missing}. What it needs: pip install -r {Path(__file__).with_name('requirements.txt')}")

#: A turn repeats what is shorter than this many seconds.
TURN = 0.2
#: Between turns: threads of the side that had its turn stop spinning.
PAUSE = 0.03


def keep_large_buffers():
    """glibc's malloc as our side sets it (examples/common/allocator.rs), for PyTorch."""
    import ctypes
    import platform

    if platform.libc_ver()[0] != "glibc":
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if libc.mallopt(m_mmap_threshold, 1 << 30) == 1:
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def to_file(arrays, path):
    save_file({name: numbers(x) for name, x in arrays.items()}, path)


def numbers(x):
    return np.ascontiguousarray(x.detach().float().cpu().numpy())


def largest_deviation(side, ours):
    """Of our results from PyTorch's, relative to the largest entry, and where; of gradients no less than a
    thousandth of the largest of all."""
    expected = {name: numbers(x) for name, x in side.results().items()}
    largest = max((np.abs(x).max() for name, x in expected.items() if name.startswith("gradient")), default=0)
    deviations = []
    for name, x in expected.items():
        if name not in ours:
            raise SystemExit(f"compare.py: our side gives no {name}; it gives {sorted(ours)}")
        for whose, array in (("our side", ours[name]), ("PyTorch", x)):
            if not np.isfinite(array).all():
                raise SystemExit(f"compare.py: {whose}'s {name} is not finite everywhere")
        if x.size != ours[name].size:
            raise SystemExit(f"compare.py: our {name} has {ours[name].size} entries, PyTorch's {x.size}")
        scale = max(np.abs(x).max(), 1e-3 * largest if name.startswith("gradient") else 0, 1e-30)
        deviations.append((float(np.abs(x.ravel() - ours[name].ravel()).max() / scale), name))
    return max(deviations)


def times_for(seconds):
    return max(1, min(50, round(TURN / max(seconds, 1e-9))))


def turns(side, ours, variant, rounds):
    """Seconds of every round, ours and PyTorch's; who begins changes from round to round."""
    run = side.variants[variant]
    ask = lambda times: ours.ask("run", variant=variant, times=times)["seconds"]
    pytorch = lambda times: statistics.fmean(run() for _ in range(times))
    sides = [(ask, times_for(ask(1))), (pytorch, times_for(run()))]
    seconds = ([], [])
    for round_ in range(rounds):
        for index in (0, 1) if round_ % 2 == 0 else (1, 0):
            time.sleep(PAUSE)
            call, times = sides[index]
            seconds[index].append(call(times))
    return seconds


def compare(name, args, folder, binary):
    """The records of one workload."""
    torch.manual_seed(0)
    side = WORKLOADS[name]()
    file = folder / "inputs.safetensors"
    if side.arrays:
        to_file(side.arrays, file)
        side.request["file"] = str(file)
    with Ours(binary, args) as ours:
        available = ours.ask("load", workload=side.request)["available"]
        if side.memory:
            return [] if args.check or on_gpu(args) else [peak(name, ours)]
        if not available:
            return [] if args.check else [alone(name, *item, args.rounds) for item in side.variants.items()]
        deviation = agreement(name, side, ours, folder, args.keep_going)
        if args.check:
            return []
        # Narrow weights are the CPU backends'.
        variants = [variant for variant in side.variants if not on_gpu(args) or variant in ("forward", "train", "decode")]
        return [record(name, variant, side, ours, deviation, binary, args) for variant in variants]


def agreement(name, side, ours, folder, keep_going):
    """The largest deviation; ends the program where it is too large."""
    file = folder / "results.safetensors"
    ours.ask("results", file=str(file))
    deviation, where = largest_deviation(side, load_file(file))
    message = f"{name}: {where} deviates by {deviation:.1e}"
    print(f"compare.py: {message}", file=sys.stderr, flush=True)
    if not deviation <= side.tolerance and not keep_going:
        sys.exit(f"compare.py: that is more than {side.tolerance:.0e}: not timed")
    return deviation


def on_gpu(args):
    return args.device not in ("flex", "ndarray")


def peak(name, ours):
    """Our side's memory; PyTorch's process holds all of Python."""
    seconds = ours.ask("run", variant="train", times=1)["seconds"]
    return {"workload": name, "variant": "train", "ours_s": seconds, "pytorch_s": None,
            "ours_peak_bytes": ours.peak_bytes()}


def alone(name, variant, run, rounds):
    """PyTorch's time for what our side does not have yet."""
    run()
    seconds = [run() for _ in range(rounds)]
    return {"workload": name, "variant": variant, "ours_s": None, "pytorch_s": statistics.median(seconds),
            "ratio": None, "ours_min": None, "ours_max": None, "pytorch_min": min(seconds),
            "pytorch_max": max(seconds)}


def record(name, variant, side, ours, deviation, binary, args):
    with Ours(binary, args) as other:
        limits = other.ask("limits")
    if on_gpu(args):
        del limits["read"]  # of the host's memory
    mine, theirs = turns(side, ours, variant, args.rounds)
    ratios = [b / a for a, b in zip(mine, theirs)]
    found = {"workload": name, "variant": variant, "ours_s": statistics.median(mine),
             "pytorch_s": statistics.median(theirs), "ratio": statistics.median(ratios), "ratio_min": min(ratios),
             "ratio_max": max(ratios), "ours_min": min(mine), "ours_max": max(mine), "pytorch_min": min(theirs),
             "pytorch_max": max(theirs), "rounds": args.rounds, "deviation": deviation,
             "ours_tokens_per_s": side.tokens / statistics.median(mine),
             "pytorch_tokens_per_s": side.tokens / statistics.median(theirs), "limits": limits}
    limit, amount = side.work.get(variant, (None, 0))
    if limit in limits:
        found |= {"limit": limit, "share": amount / limits[limit] / found["ours_s"]}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names, or their beginnings")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7, at least 5)")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--device", default=os.environ.get("BURN_DEVICE", "flex"), metavar="NAME",
                        help="our backend (default: BURN_DEVICE, or flex); if not a CPU's, PyTorch is on its GPU too")
    parser.add_argument("--out", metavar="FILE", help="records as JSON lines")
    parser.add_argument("--markdown", metavar="FILE", help="a file whose table is replaced, as docs/performance.md")
    parser.add_argument("--torch-allocator", choices=("tuned", "stock"), default="tuned",
                        help="glibc's malloc for PyTorch: set as for our side, or left alone (default tuned)")
    parser.add_argument("--binary", metavar="FILE", help="our side, already built")
    parser.add_argument("--cargo", nargs=1, default=[""], metavar="FLAGS", help='e.g. --cargo="--features ndarray"')
    parser.add_argument("--keep-going", action="store_true", help="time what does not agree, too")
    parser.add_argument("--check", action="store_true", help="do both sides agree? Times nothing")
    parser.add_argument("--from", nargs="+", default=[], metavar="FILE", dest="files",
                        help="runs nothing: records of earlier runs, for --markdown")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads")
    args = parser.parse_args()
    names = [n for n in WORKLOADS if not args.only or any(n.startswith(o) for o in args.only)]
    if args.list or not names:
        print("\n".join(WORKLOADS))
        return
    if args.rounds < 5:
        parser.error("--rounds must be at least 5")
    if args.markdown:
        report.around(args.markdown)  # known before minutes are spent
    records = [json.loads(line) for file in args.files for line in Path(file).read_text().splitlines()]
    if records:
        print(report.table(records))
    else:
        records = run(names, args)
    if args.markdown:
        report.write_markdown(args.markdown, records)


def run(names, args):
    """Prints the table as it grows."""
    binary = args.binary or build(args.cargo[0].split())
    torch.set_num_threads(args.threads)
    if on_gpu(args):
        torch.set_default_device("cuda")
    if args.torch_allocator == "tuned":
        keep_large_buffers()
    about = report.machine(args, torch)
    out = open(args.out, "w") if args.out else None
    print(report.table([]), flush=True)
    records = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = [record | {"about": about} for record in compare(name, args, Path(folder), binary)]
        records += found
        for line in report.table(found).splitlines()[2:]:
            print(line, flush=True)
        if out:
            out.writelines(json.dumps(record) + "\n" for record in found)
            out.flush()
    print(f"\n{about['machine']}\nlimits: {report.limits(records)}")
    return records


if __name__ == "__main__":
    main()
