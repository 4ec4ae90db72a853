"""Makes torchvision (and so timm) importable beside a torch build that its compiled operators do not fit.

torchvision's wheel is linked against one CUDA flavour of torch. Beside another flavour (a CPU-only build, say) its extension
does not load, and ``import torchvision`` then fails with ``operator torchvision::nms does not exist``, because its Python side
registers shape functions for ``nms`` and ``qnms``, which only the extension defines. Nothing here uses either operator, so it is
enough that their signatures exist. ``declare_missing`` gives them, and only where the extension cannot be loaded.

Tried: torchvision 0.28.0 beside torch 2.13.0+cpu, which ``make`` installs, needs it; torchvision 0.29.1 beside torch
2.14.1+cu130 does not.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

__all__ = ["declare_missing"]

_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_declared: list[torch.library.Library] = []  # a Library withdraws its operators when it is collected: keep it


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
            except OSError:
                return False
            return True
    return False


def declare_missing() -> bool:
    """Declares the operators where torchvision's extension cannot; call it before the first import of torchvision or timm.

    Returns:
        True where the operators are declared here, False where torchvision brings its own.
    """
    if _declared:
        return True
    if _extension_loads():
        return False
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for signature in _SIGNATURES:
        library.define(signature)  # type: ignore[no-untyped-call]
    _declared.append(library)
    return True
