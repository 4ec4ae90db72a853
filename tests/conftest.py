"""What all tests share: one thread, for small tensors on busy cores wait longer than they compute; "auto" is float32 everywhere,
unless ``OCCLUREID_ARITHMETIC=bfloat16`` asks to run all tests in the other arithmetic."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
os.environ.setdefault("OCCLUREID_ARITHMETIC", "float32")


@pytest.fixture(scope="session")
def rendered_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny rendered world, made once; tests copy from it and change nothing in it."""
    from occlureid.synthetic import WorldSettings, write_world

    settings = WorldSettings(
        seed=3,
        size=(64, 32),
        cameras=2,
        train_persons=2,
        train_images=2,
        test_persons=3,
        query_images=1,
        gallery_images=2,
    )
    return write_world(settings, tmp_path_factory.mktemp("rendered") / "world")


@pytest.fixture(scope="session")
def pictures(rendered_world: Path) -> list[Path]:
    """The images of ``rendered_world``, all different."""
    return sorted(rendered_world.glob("[bq]*/*.jpg"))
