"""Our side: a bench target of the crate, built once, asked for one round at a time."""
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(cargo_flags):
    """The path of the built bench target. Ends the program where cargo fails."""
    command = ["cargo", "bench", "--bench", "workloads", "--no-run", "--message-format=json-render-diagnostics",
               *cargo_flags]
    print("$", " ".join(command), file=sys.stderr)
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit("compare.py: cargo is not there; install Rust from https://rustup.rs, or give --binary")
    if done.returncode != 0:
        sys.exit(f"compare.py: cargo failed (exit code {done.returncode}); its messages are above")
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    paths = [m["executable"] for m in messages
             if m.get("reason") == "compiler-artifact" and m["target"]["name"] == "workloads"]
    return paths[-1]


class Ours:
    """A process that holds one workload."""

    def __init__(self, binary, args):
        environment = os.environ | {"BURN_DEVICE": args.device, "RAYON_NUM_THREADS": str(args.threads)}
        self.process = subprocess.Popen([binary, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)

    def ask(self, request, **parameters):
        try:
            self.process.stdin.write(json.dumps({"request": request} | parameters) + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            sys.exit(f"compare.py: our side ended during {request} (exit code {self.process.wait()}); "
                     "its message is above")
        return json.loads(reply)

    def peak_bytes(self):
        """The most memory that was resident at once."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
