"""The global baseline and PCB, by hand."""

import math

import pytest
import torch

from occlureid import methods
from occlureid.matching import distance_matrix
from occlureid.methods.baseline import Output
from occlureid.methods.pcb import Output as StripeOutput
from occlureid.types import Cues

SMALL = {"backbone": "resnet10t", "size": (96, 32)}


def test_baseline_losses_by_hand() -> None:
    built = methods.create("baseline", 2, {**SMALL, "smoothing": 0.2, "margin": 0.5})
    pooled = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, 0.0]])
    terms = built.losses(Output(pooled, pooled, logits), torch.tensor([0, 0, 1]), Cues())
    # smoothed targets are 0.9 and 0.1 for two classes and epsilon 0.2
    first = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))
    assert terms["identity"].item() == pytest.approx((first + 2 * math.log(2)) / 3, abs=1e-6)
    # anchors 0 and 1 have a positive (5 apart); their hardest negative is 1 and sqrt(20) away
    expected = ((5 - 1 + 0.5) + (5 - math.sqrt(20) + 0.5)) / 2
    assert terms["triplet"].item() == pytest.approx(expected, abs=1e-5)


def test_triplet_can_be_left_out() -> None:
    built = methods.create("baseline", 2, {**SMALL, "triplet_weight": 0})
    terms = built.losses(built(torch.rand(2, 3, 96, 32), Cues()), torch.tensor([0, 1]), Cues())
    assert set(terms) == {"identity"}


def test_baseline_compares_normalised_vectors_by_cosine() -> None:
    built = methods.create("baseline", 2, SMALL)
    described = built.describe(torch.rand(3, 3, 96, 32))
    expected = 1 - torch.nn.functional.cosine_similarity(described.global_[:, None], described.global_[None], dim=2)
    torch.testing.assert_close(distance_matrix(built.rule, described, described), expected, atol=1e-6, rtol=0)


def test_pcb_sums_its_stripes_and_compares_all_of_them() -> None:
    built = methods.create("pcb", 4, {**SMALL, "parts": 2, "reduced": 4})
    logits = torch.tensor([[[0.0, 0, 0, 0], [math.log(3), 0, 0, 0]]])
    empty = torch.zeros(1, 2, 1)
    terms = built.losses(StripeOutput(empty, empty, empty, logits), torch.tensor([0]), Cues())
    assert terms["parts"].item() == pytest.approx(math.log(4) + math.log(2), abs=1e-6)
    described = built.describe(torch.rand(3, 3, 96, 32))
    assert described.parts.shape == (3, 2, 512)
    cosines = torch.nn.functional.cosine_similarity(described.parts[:, None], described.parts[None], dim=3)
    torch.testing.assert_close(
        distance_matrix(built.rule, described, described), 1 - cosines.mean(2), atol=1e-6, rtol=0
    )


def test_pcb_reduced_feature() -> None:
    built = methods.create("pcb", 4, {**SMALL, "parts": 2, "reduced": 4, "test_feature": "reduced"})
    assert built.describe(torch.rand(1, 3, 96, 32)).parts.shape == (1, 2, 4)
