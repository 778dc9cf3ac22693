"""What the fuzzer starts from: `config.json` and header of every golden model of one file. `python3 tests/fuzz/seeds.py DIR`"""
import json
import sys
from pathlib import Path

to = Path(sys.argv[1])
to.mkdir(parents=True, exist_ok=True)
for folder in sorted((Path(__file__).parents[1] / "golden/checkpoints").iterdir()):
    file = folder / "model.safetensors"
    if file.is_file():
        bytes = file.read_bytes()
        header = bytes[8:8 + int.from_bytes(bytes[:8], "little")].strip()
        config = json.dumps(json.loads((folder / "config.json").read_text()))
        (to / folder.name).write_bytes(config.encode() + b"\0" + header)
