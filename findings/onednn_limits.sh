#!/usr/bin/env bash
# torch 2.13.0 (oneDNN inside): which environment variable takes bfloat16 products away, and what torch says of it.
# Expected: ATEN_CPU_CAPABILITY=avx2 makes torch compute as on an AVX2 processor; with ONEDNN_MAX_CPU_ISA=AVX2, bfloat16 falls back to
#   float32 and loses little, and torch.backends.cpu.get_cpu_capability() says AVX2.
# Seen: with ONEDNN_MAX_CPU_ISA=AVX2 alone get_cpu_capability() says the same as without, while a convolution in bfloat16 takes 20 to 40
#   times as long as in float32, for its products are emulated; ATEN_CPU_CAPABILITY=avx2 alone changes what get_cpu_capability()
#   says, and not the time of a convolution. torch.cpu._is_avx512_bf16_supported() follows neither.
# Here: src/occlureid/arithmetic.py asks oneDNN as well as the processor, and times a convolution and a product once before
#   bfloat16 is chosen; tests/test_arithmetic.py::test_avx2_alone_chooses_float32_whatever_the_processor_says_of_itself.
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo "these instruction sets are those of x86_64"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cat > "$folder/look.py" <<'PYTHON'
import json
import time

import torch

torch.set_num_threads(1)
maps = torch.linspace(-1, 1, 8 * 64 * 24 * 8).view(8, 64, 24, 8)
kernel = torch.linspace(-1, 1, 64 * 64 * 9).view(64, 64, 3, 3)


def least(dtype):
    inputs, weights, times = maps.to(dtype), kernel.to(dtype), []
    for _ in range(6):
        started = time.perf_counter()
        torch.nn.functional.conv2d(inputs, weights, padding=1)
        times.append(time.perf_counter() - started)
    return min(times[1:])


print(json.dumps({
    "torch": torch.__version__,
    "capability": torch.backends.cpu.get_cpu_capability(),
    "flag": torch.cpu._is_avx512_bf16_supported(),
    "ratio": least(torch.bfloat16) / least(torch.float32),
}))
PYTHON
unset ATEN_CPU_CAPABILITY ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA
plain=$("$folder/venv/bin/python" "$folder/look.py")
aten=$(ATEN_CPU_CAPABILITY=avx2 "$folder/venv/bin/python" "$folder/look.py")
onednn=$(ONEDNN_MAX_CPU_ISA=AVX2 "$folder/venv/bin/python" "$folder/look.py")
"$folder/venv/bin/python" - "$plain" "$aten" "$onednn" <<'PYTHON'
import json
import sys

plain, aten, onednn = map(json.loads, sys.argv[1:])
print("torch", plain["torch"])
print("behaviour: ONEDNN_MAX_CPU_ISA=AVX2 makes bfloat16 convolutions many times slower than float32 and get_cpu_capability() does not")
print("           say so; ATEN_CPU_CAPABILITY=avx2 changes what it says, and not the time")
for name, found in (("no limit", plain), ("ATEN_CPU_CAPABILITY=avx2", aten), ("ONEDNN_MAX_CPU_ISA=AVX2", onednn)):
    print(f"seen: {name}: {found['capability']}, avx512_bf16 {found['flag']}, bfloat16 takes {found['ratio']:.2f} times as long as float32")
said = onednn["capability"] == plain["capability"] and aten["capability"] == "AVX2" and len({f["flag"] for f in (plain, aten, onednn)}) == 1
slow = onednn["ratio"] > 5 and 0.2 < aten["ratio"] / plain["ratio"] < 5
sys.exit(not (said and slow))
PYTHON
