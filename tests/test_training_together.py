"""Two processes learn as one: batch norm and triplets of the whole batch, in loss, gradient, running statistics and weights."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.tiny_method import make_samples
from tests.training_process import SYNCHRONISED, norm_and_triplet, train_baseline, uneven_batch

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two processes saw, by rank."""
    folder = tmp_path_factory.mktemp("together")
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.training_process")
    ended = subprocess.run(
        [sys.executable, *launch, "synchronised", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_loss_gradients_and_statistics_are_those_of_one_process(seen: tuple[Path, list[dict[str, Any]]]) -> None:
    first, second = seen[1]
    images, labels = uneven_batch()
    images.requires_grad_()
    norm = nn.BatchNorm2d(4)
    loss = norm_and_triplet(norm, images, labels)
    loss.backward()
    assert images.grad is not None
    assert norm.weight.grad is not None
    assert float(images.grad.abs().max()) > 1e-3
    for one in (first, second):
        torch.testing.assert_close(one["loss"], loss.detach())
        torch.testing.assert_close(one["norm"], dict(norm.state_dict()))
    # every process's gradient is of the sum of both losses, and data parallel training takes the mean over the processes
    gradient = torch.cat([first["gradient"], second["gradient"]]) / 2
    torch.testing.assert_close(gradient, images.grad, rtol=1e-4, atol=1e-6)
    weight = (first["weight"] + second["weight"]) / 2
    torch.testing.assert_close(weight, norm.weight.grad, rtol=1e-4, atol=1e-6)


def test_two_processes_train_a_network_with_norms_and_triplets_as_one(seen: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, (first, second) = seen
    samples = make_samples(folder / "images")
    alone = train_baseline(SYNCHRONISED.with_changes(devices=1), samples, folder / "alone")
    trained = [name for name, value in alone.items() if value.is_floating_point()]

    def apart(weights: dict[str, torch.Tensor]) -> float:
        """The greatest difference, as a share of the largest number of its tensor."""
        return max(
            float((weights[name] - alone[name]).abs().max() / alone[name].abs().max().clamp_min(0.1))
            for name in trained
        )

    assert apart(first["both"]) < 1e-3
    for name in ("both", "neither", "triplets"):
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    assert min(apart(first["neither"]), apart(first["triplets"])) > 20 * apart(first["both"])
    torch.testing.assert_close(first["both"]["neck.norm.num_batches_tracked"], alone["neck.norm.num_batches_tracked"])


def test_what_each_process_does_for_itself_is_said_once(seen: tuple[Path, list[dict[str, Any]]]) -> None:
    first, second = seen[1]
    norm, triplets = first["neither log"]
    assert "2 processes: each normalises its own 4 of the 8 images" in norm
    assert "set train.sync_batch_norm=true" in norm
    assert "each compares the images of its own 2 persons; set train.gather_triplets=true" in triplets
    assert len(first["triplets log"]) == 1
    assert second["neither log"] == second["triplets log"] == []


def test_one_process_is_not_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = SYNCHRONISED.with_changes(devices=1, epochs=1, sync_batch_norm=False, gather_triplets=False)
    with caplog.at_level(logging.WARNING):
        train_baseline(settings, make_samples(tmp_path / "images"), tmp_path / "run")
    assert not [record for record in caplog.records if "processes" in record.getMessage()]
