#!/usr/bin/env bash
# torch 2.13.0: torch.load chooses the reader by the last letters of a path, not by what the file holds.
# Expected: a file that torch.save wrote is read whatever it is called, as it always was.
# Seen: called weights.safetensors it is given to safetensors, which says "header too large"; the same bytes from an open file are
#   read. A safetensors file is read by torch.load if it is called .safetensors, and refused under any other name.
# Here: src/occlureid/models/weight_files.py looks at the first bytes and hands torch an open file; tests/test_weight_files.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'safetensors==0.8.0' 'numpy==2.4.6'
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import shutil
import sys
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

folder = Path(sys.argv[1])
tensors = {"a": torch.ones(3)}
torch.save(tensors, folder / "saved.pt")
save_file(tensors, folder / "stored.safetensors")
shutil.copy(folder / "saved.pt", folder / "saved.safetensors")
shutil.copy(folder / "stored.safetensors", folder / "stored.pt")


def outcome(source):
    try:
        return "read" if torch.equal(torch.load(source, weights_only=True)["a"], tensors["a"]) else "other numbers"
    except Exception as error:
        return type(error).__name__


seen = {name: outcome(folder / name) for name in ("saved.pt", "saved.safetensors", "stored.safetensors", "stored.pt")}
with (folder / "saved.safetensors").open("rb") as file:
    seen["saved.safetensors, as an open file"] = outcome(file)
print("torch", torch.__version__, "safetensors", safetensors.__version__)
print("behaviour: torch.load of a path goes by its suffix; of an open file by its content")
for name, result in seen.items():
    print(f"seen: {name}: {result}")
expected = {
    "saved.pt": "read",
    "saved.safetensors": "SafetensorError",
    "stored.safetensors": "read",
    "stored.pt": "UnpicklingError",
    "saved.safetensors, as an open file": "read",
}
sys.exit(seen != expected)
PYTHON
