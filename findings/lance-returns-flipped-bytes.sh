#!/usr/bin/env bash
# pylance 14.0.2: a table hands out bytes of its data files that have flipped, and says nothing.
# Expected: an error, as from formats whose pages carry checksums.  Seen: other numbers, no error, no warning, also after
# validate().  Here: every item of a gallery carries checksums of its own (src/occlureid/gallery/checksums.py), compared when it is
# read; tests/gallery/test_store_checksums.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pylance==14.0.2' 'pyarrow==26.0.1' 'numpy==2.4.6'
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

where = Path(sys.argv[1]) / "table.lance"
vectors = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 64)
lance.write_dataset(pa.table({"vector": column}), where)

(file,) = (where / "data").iterdir()
raw, stored = bytearray(file.read_bytes()), vectors[7].tobytes()
place = raw.find(stored)
raw[place + 3] ^= 0x40  # one bit of an exponent
file.write_bytes(raw)

table = lance.dataset(where)
table.validate()
read = np.stack(table.to_table().column("vector").combine_chunks().to_numpy(zero_copy_only=False))
changed = np.argwhere(read != vectors).tolist()
print("pylance", lance.__version__)
print("behaviour: one bit of a data file is flipped; reading and validate() raise nothing, and the number is another one")
print("seen: changed", changed, "from", float(vectors[7, 0]), "to", float(read[7, 0]))
sys.exit(changed != [[7, 0]])
PYTHON
