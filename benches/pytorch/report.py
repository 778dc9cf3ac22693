"""Records as a table: on the terminal, or inside a Markdown file."""
import os
import re
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine(args, torch):
    """What a reader must know to judge the figures."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    simd = "AVX-512" if "avx512f" in info else "AVX2" if "avx2" in info else "no AVX2"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = f"{torch.cuda.get_device_name()}; " if torch.get_default_device().type == "cuda" else ""
    return {"machine": f"{gpu}{os.cpu_count()} cores, {model[1] if model else 'unknown CPU'}, {simd}, {memory:.0f} GiB",
            "device": args.device, "torch": torch.__version__, "rounds": args.rounds, "threads": args.threads,
            "torch_allocator": f"{args.torch_allocator} malloc", "load_before": round(os.getloadavg()[0], 1)}


def duration(seconds):
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def cells(record):
    name, variant = record["workload"], record["variant"]
    if "ours_peak_bytes" in record:
        return [name, variant, f"{record['ours_peak_bytes'] / 2**20:.0f} MiB resident at most", "", "", ""]
    if record["ours_s"] is None:
        return [name, variant, "not available", duration(record["pytorch_s"]), "", ""]
    if record["variant"].startswith("decode"):
        speeds = [f"{record[f'{side}_tokens_per_s']:.1f} tokens/s" for side in ("ours", "pytorch")]
    else:
        speeds = [duration(record["ours_s"]), duration(record["pytorch_s"])]
    ratio = f"{record['ratio']:.2f} ({record['ratio_min']:.2f}–{record['ratio_max']:.2f})"
    share = f"{record['share']:.0%} of {record['limit']}" if record.get("share") else ""
    return [name, variant, *speeds, ratio, share]


HEADER = ["workload", "variant", "ours", "PyTorch", "PyTorch / ours (min–max)", "share of the limit"]


def table(records):
    rows = [HEADER, ["---"] * len(HEADER), *(cells(record) for record in records)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def limits(records):
    rates = [record["limits"] for record in records if "limits" in record]
    if not rates:
        return ""
    spans = []
    for kind, unit, text in (("gemm", "GFLOP/s", "matrix products (Burn, f32, 1024³)"), ("read", "GB/s", "reads")):
        found = [rate[kind] / 1e9 for rate in rates if kind in rate]
        if found:
            spans.append(f"{text} {min(found):.0f}–{max(found):.0f} {unit}")
    return "; ".join(spans)


def around(path):
    """What stands before and after the two marks of a file."""
    try:
        before, rest = Path(path).read_text().split(BEGIN, 1)
        return before, rest.split(END, 1)[1]
    except (OSError, ValueError, IndexError):
        raise SystemExit(f"compare.py: --markdown {path}: needs a file with the lines {BEGIN} and {END}") from None


def write_markdown(path, records):
    """Replaces what stands between the two marks of the file."""
    before, after = around(path)
    about = records[0]["about"]
    loads = [record["about"]["load_before"] for record in records]
    lines = [
        f"{about['machine']}; PyTorch {about['torch']}, {about['torch_allocator']}; {about['threads']} threads each, "
        f"{about['rounds']} rounds. Load average before: "
        f"{min(loads)} to {max(loads)} (about 1 and more: other processes were running, and ratios are not to be relied on).",
        f"Limits measured beside the workloads: {limits(records)}.", "", table(records)]
    Path(path).write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")
