"""The arithmetic of the caster where it takes a short cut: no cut may change a bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occlureid.synthetic import World, WorldSettings
from occlureid.synthetic import cast as caster
from occlureid.synthetic import shade as shader
from occlureid.synthetic.picked import picked
from occlureid.synthetic.primitives import CONE, OPEN_CONE, boxes, material, round_cones
from occlureid.synthetic.rays import box_depth, cone_depth, replace_where_negative, table


def _cones(kind: int) -> torch.Tensor:
    """A rod along the optical axis from 4 to 5 metres, and one that stands upright at 3 metres."""
    primitives = round_cones(
        np.array([[0.0, 0.0, 4.0], [0.0, -1.0, 3.0]]),
        np.array([[0.0, 0.0, 5.0], [0.0, 1.0, 3.0]]),
        np.array([0.25, 0.5]),
        np.array([0.25, 0.5]),
        hint=np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        squeeze=np.ones((2, 2)),
        materials=np.stack([material((0.5, 0.5, 0.5))] * 2),
        kind=kind,
    )
    return table(primitives, "cpu").columns


def test_a_ray_along_a_rod_meets_its_end_or_nothing() -> None:
    across, down = torch.zeros(2), torch.zeros(2)
    torch.testing.assert_close(cone_depth(_cones(CONE), across, down), torch.tensor([3.75, 2.5]))
    # An open cone has no ends: the ray never meets the side, to which it is parallel, and the depth is still a number.
    torch.testing.assert_close(cone_depth(_cones(OPEN_CONE), across, down), torch.tensor([torch.inf, 2.5]))


def test_rays_that_pass_by_never_arrive() -> None:
    assert torch.isinf(cone_depth(_cones(CONE), torch.ones(2), torch.zeros(2))).all()
    # At 2.65 metres and a slope of 0.45, a ray is 1.2 metres from the middle of the upright rod: only its cap is so high.
    closed, hollow = (cone_depth(_cones(kind), torch.zeros(2), torch.full((2,), 0.45))[1] for kind in (CONE, OPEN_CONE))
    assert 2.5 < closed < 3.0
    assert hollow == torch.inf


def test_a_box_is_met_by_a_ray_parallel_to_its_sides() -> None:
    primitives = boxes(
        np.array([[0.0, 0.0, 4.0]]), np.array([[1.0, 1.0, 0.5]]), np.zeros(1), materials=material((0.5,) * 3)[None]
    )
    columns = table(primitives, "cpu").columns
    depths = [float(box_depth(columns, torch.tensor([u]), torch.zeros(1))) for u in (0.0, 0.25, 0.5)]
    assert depths == pytest.approx([3.5, 3.5, np.inf])


def test_replace_where_negative_is_where() -> None:
    difference = torch.tensor([-1.0, 0.0, 2.0, -torch.inf, torch.inf, -1e-42, 1e-42])
    rows, items = torch.arange(7, dtype=torch.int32), torch.arange(100, 107, dtype=torch.int32)
    expected = torch.where(difference < 0, items, rows)
    replace_where_negative(rows, items, difference.clone())
    assert torch.equal(rows, expected)


def test_picked_is_nonzero() -> None:
    mask = torch.rand((3, 5, 7), generator=torch.Generator().manual_seed(1)) > 0.5
    assert torch.equal(picked(mask), mask.flatten().nonzero()[:, 0])
    assert picked(mask).dtype == torch.int64
    assert len(picked(mask & ~mask)) == 0


def test_no_block_changes_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = WorldSettings(seed=4, size=(96, 48), train_persons=2, test_persons=2)
    whole = World(settings).render("query", range(6))
    monkeypatch.setattr(caster, "_BLOCK", 37)
    monkeypatch.setattr(shader, "_POINTS", 101)
    small = World(settings).render("query", range(6))
    assert torch.equal(whole.images, small.images)
    assert torch.equal(whole.keypoints, small.keypoints)
    assert torch.equal(whole.lip, small.lip)
    assert torch.equal(whole.people, small.people)
