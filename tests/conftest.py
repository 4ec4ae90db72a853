"""What all tests share: one thread, for small tensors on busy cores wait longer than they compute; "auto" is float32 everywhere,
unless ``OCCLUREID_ARITHMETIC=bfloat16`` asks to run all tests in the other arithmetic. ``OCCLUREID_TEST_THREADS`` and
``OCCLUREID_TEST_SEED`` let ``benchmarks/margins.py`` see by how much the tests hold that train and then ask for a figure."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trained import Figures

torch.set_num_threads(int(os.environ.get("OCCLUREID_TEST_THREADS", "1")))
os.environ.setdefault("OCCLUREID_ARITHMETIC", "float32")


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """For the figures of tests marked ``trained``."""
    return Figures(record_property)


@pytest.fixture(scope="session")
def training_seed() -> int:
    """What tests marked ``trained`` add to the seeds of their first weights and of the order of their images; usually 0."""
    return int(os.environ.get("OCCLUREID_TEST_SEED", "0"))


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
