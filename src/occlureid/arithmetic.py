"""Choice of arithmetic by processor: bfloat16 where its products are native and measured faster, else float32.

A processor without bfloat16 products emulates them: under AVX2 that takes 30 to 40 times as long as float32. Flags alone do not
tell, for ``ONEDNN_MAX_CPU_ISA`` takes instructions away that the processor still reports. So the products are timed as well, but
once: the ratio is kept in this process and in the user's cache folder. ``docs/arithmetic.md`` says which processors choose what.

``OCCLUREID_ARITHMETIC=float32`` or ``=bfloat16`` says what "auto" means, and nothing is timed. What is asked for by name is not
changed by it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import conv2d

from occlureid.errors import SettingsError

__all__ = [
    "FORCE",
    "Precision",
    "arithmetic_record",
    "chosen",
    "native",
    "processor",
    "resolve",
    "speed",
    "train_precision",
]

Precision = Literal["auto", "float32", "bfloat16"]

FORCE = "OCCLUREID_ARITHMETIC"
"""Environment variable with what "auto" is to mean: float32 or bfloat16; unset or empty, the processor decides."""

FASTER = 1.1
"""Ratio of speeds from which bfloat16 is chosen in place of float32; native products are 1.5 to 4 times as fast."""

_LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
)
"""Environment variables that change which instructions products are made of."""

_ROUNDS = 6
_LARGEST_FILE = 4096

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_known: dict[str, float] = {}
_warned: set[str] = set()


def chosen(device: torch.device | str) -> Literal["float32", "bfloat16"]:
    """The arithmetic that "auto" means on a device.

    Raises:
        SettingsError: ``OCCLUREID_ARITHMETIC`` is neither float32 nor bfloat16.
    """
    forced = os.environ.get(FORCE, "")
    if forced == "float32":
        return "float32"
    if forced == "bfloat16":
        return "bfloat16"
    if forced:
        raise SettingsError(f"{FORCE} must be float32 or bfloat16, or not be set, got {forced!r}")
    return "bfloat16" if native(device) and speed(device) >= FASTER else "float32"


def resolve(asked: str, device: torch.device | str) -> Literal["float32", "bfloat16"]:
    """The arithmetic for what was asked: "auto" chooses, and bfloat16 by name is taken, with a warning where it is slower.

    Args:
        asked: "auto", "float32" or "bfloat16".
        device: where it is computed.

    Raises:
        SettingsError: ``asked`` is none of these.
    """
    if asked == "auto":
        return chosen(device)
    if asked == "float32":
        return "float32"
    if asked == "bfloat16":
        _warn_if_slower(torch.device(device))
        return "bfloat16"
    raise SettingsError(f'precision must be "auto", "float32" or "bfloat16", got {asked!r}')


def train_precision(asked: str, device: torch.device | str) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """As ``resolve``, in the words of training: "auto" gives "bf16-mixed" or "32-true", and "16-mixed" stays."""
    if asked == "16-mixed":
        return "16-mixed"
    plain = {"bf16-mixed": "bfloat16", "32-true": "float32"}.get(asked, asked)
    return "bf16-mixed" if resolve(plain, device) == "bfloat16" else "32-true"


def native(device: torch.device | str) -> bool:
    """True if a device has instructions for products in bfloat16: AMX, AVX-512 BF16, ARM BF16, CUDA from Ampere on.

    Of a CPU both must say so: the processor, and oneDNN within the limits of the environment. Devices of other kinds say no.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu" or not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):  # type: ignore[no-untyped-call]
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True  # elsewhere oneDNN says so only where the processor has the instructions
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)


def processor(device: torch.device | str = "cpu") -> str:
    """The name of a device, with the instructions that torch uses: "AMD EPYC, AVX512"."""
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(device))
    return f"{_model_name()}, {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


@cache
def _model_name() -> str:
    with suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()[:200]
    return platform.processor() or platform.machine()


def arithmetic_record(device: torch.device | str = "cpu") -> dict[str, str]:
    """Entries of a record of figures: the processor, and the arithmetic that "auto" means on it."""
    return {"processor": processor(device), "auto": chosen(device)}


def speed(device: torch.device | str) -> float:
    """Measured ratio of speeds of a device, bfloat16 to float32, the lower of those of a convolution and a matrix product.

    Measured once, in a fraction of a second, then kept: in this process, and in the user's cache folder for this processor, this
    torch and these limits of its instructions. A file there that does not say exactly that is ignored and written anew.
    """
    device = torch.device(device)
    key = _key(device)
    with _lock:
        if key not in _known:
            folder = _cache_folder()
            path = None if folder is None else folder / f"bfloat16-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
            kept = None if path is None else _read(path, key)
            _known[key] = _measure(device) if kept is None else kept
            if kept is None and path is not None:
                _write(path, key, _known[key])
        return _known[key]


def _warn_if_slower(device: torch.device) -> None:
    if os.environ.get(FORCE) or device.type not in ("cpu", "cuda"):
        return
    if (ratio := speed(device)) < 1 and _key(device) not in _warned:
        _warned.add(_key(device))
        _log.warning(
            "bfloat16 takes %.2g times as long as float32 on this processor (%s%s); take precision auto, or float32 (32-true)",
            1 / ratio,
            processor(device),
            "" if native(device) else ", which has no bfloat16 products and emulates them",
        )


def _key(device: torch.device) -> str:
    limits = {name: os.environ[name] for name in _LIMITS if os.environ.get(name)}
    return json.dumps([processor(device), native(device), torch.__version__, torch.version.cuda, limits])


def _cache_folder() -> Path | None:
    """Folder of the user's caches: ``XDG_CACHE_HOME`` if it is a full path, as other programs do; None without a home."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "occlureid"
    try:
        return Path.home() / ".cache" / "occlureid"
    except RuntimeError:  # a user number without a name, as in some containers
        return None


def _read(path: Path, key: str) -> float | None:
    """The ratio that a file keeps; None unless it is a small file that says so of this key."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST_FILE:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # not there, not text, not JSON
        return None
    if not isinstance(content, dict) or content.get("key") != key:
        return None
    ratio = content.get("ratio")
    return ratio if isinstance(ratio, float) and math.isfinite(ratio) and ratio > 0 else None


def _write(path: Path, key: str, ratio: float) -> None:
    """Keeps a ratio; where nothing can be written, the next process measures again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bfloat16-", dir=path.parent) as folder:
            new = Path(folder) / path.name
            new.write_text(json.dumps({"key": key, "ratio": ratio}), encoding="utf-8")
            new.replace(path)
    except OSError as error:
        _log.debug("%s: cannot be written (%s)", path, error)


def _measure(device: torch.device) -> float:
    """Least times of both arithmetics in turn; a bfloat16 that is far slower is not waited for again and again."""
    worst = math.inf
    for work in (_convolution, _product):
        run = work(device)
        for precise in (True, False):
            run(precise)  # the first call prepares the kernel
        slow = fast = math.inf
        for _ in range(_ROUNDS):
            slow, fast = min(slow, _seconds(run, True, device)), min(fast, _seconds(run, False, device))
            if fast > 2 * slow:
                break
        worst = min(worst, slow / max(fast, 1e-9))
    _log.info("bfloat16 is %.3g times as fast as float32 on %s", worst, processor(device))
    return worst


def _seconds(run: Callable[[bool], Any], precise: bool, device: torch.device) -> float:
    started = time.perf_counter()
    run(precise)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _convolution(device: torch.device) -> Callable[[bool], Any]:
    """A 3 x 3 convolution as a residual network has many, in mixed precision: weights are float32."""
    images, channels, size = (32, 256, (48, 16)) if device.type == "cuda" else (8, 64, (48, 16))
    pixels = torch.linspace(-1, 1, images * channels * size[0] * size[1], device=device)
    maps = pixels.view(images, channels, *size)
    kernel = torch.linspace(-1, 1, channels * channels * 9, device=device).view(channels, channels, 3, 3)
    inputs = {True: maps, False: maps.bfloat16()}

    @torch.no_grad()
    def run(precise: bool) -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled=not precise):
            return conv2d(inputs[precise], kernel, padding=1)

    return run


def _product(device: torch.device) -> Callable[[bool], Any]:
    """A product of two matrices as matching has them."""
    rows, columns = (4096, 4096) if device.type == "cuda" else (256, 512)
    left = torch.linspace(-1, 1, rows * columns, device=device).view(rows, columns)
    sides = {True: left, False: left.bfloat16()}

    @torch.no_grad()
    def run(precise: bool) -> Any:
        return sides[precise] @ sides[precise].T

    return run
