"""Every model of an obstacle: its kind, its split, the colours it comes in, and how much of a person it can hide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occlureid.errors import DataError
from occlureid.synthetic.obstacles import carried, furniture, plants, street, vehicles
from occlureid.synthetic.obstacles.kit import Builder, Colour, Placement
from occlureid.synthetic.primitives import Array

__all__ = [
    "BORDER",
    "KINDS",
    "NONE",
    "OBSTACLES",
    "PERSON",
    "Obstacle",
    "check_kinds",
    "draw_kind",
    "draw_model",
    "models_of",
]

NONE, BORDER, PERSON = "none", "border", "person"
"""Kinds that are no models: nothing hides the target, the image cuts it, another person stands in front."""

_SHARES = {PERSON: 0.22, BORDER: 0.10}
"""How often these two hide the target where every kind may; the other kinds share the rest evenly."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One model.

    Attributes:
        name: of the model. kind: what ``truth.jsonl`` calls it. test: whether it belongs to the test splits.
        colours: those it comes in. build: see ``Builder``. gap: metres in front of the target, low and high.
        least: the visible fraction that it can bring most persons down to.
    """

    name: str
    kind: str
    test: bool
    colours: tuple[Colour, ...]
    build: Builder
    gap: tuple[float, float]
    least: float

    def paint(self, random: np.random.Generator) -> Array:
        """(3,) one of the colours, a little lighter or darker."""
        base = np.asarray(self.colours[int(random.integers(len(self.colours)))])
        return np.clip(base * random.uniform(0.95, 1.05) + random.uniform(-0.012, 0.012, 3), 0.02, 0.96)


_TRAIN_COLOURS: dict[str, Colour] = {
    "wine": (0.42, 0.07, 0.09), "navy": (0.13, 0.19, 0.38), "silver": (0.66, 0.67, 0.68),
    "slate": (0.3, 0.31, 0.33), "anthracite": (0.2, 0.21, 0.22), "zinc": (0.56, 0.58, 0.6),
    "concrete": (0.5, 0.49, 0.46), "birch": (0.68, 0.69, 0.67), "ash": (0.4, 0.37, 0.35),
    "maple": (0.4, 0.48, 0.14), "lime": (0.26, 0.38, 0.12), "privet": (0.24, 0.36, 0.12),
    "olive": (0.34, 0.38, 0.18), "teak": (0.52, 0.31, 0.13), "mahogany": (0.4, 0.22, 0.13),
    "sage": (0.24, 0.36, 0.3), "signal_blue": (0.06, 0.24, 0.56), "signal_red": (0.7, 0.08, 0.1),
}  # fmt: skip

_TEST_COLOURS: dict[str, Colour] = {
    "white": (0.93, 0.93, 0.92), "black": (0.05, 0.05, 0.055), "petrol": (0.07, 0.27, 0.28),
    "yellow": (0.9, 0.72, 0.12), "sand": (0.74, 0.66, 0.5), "timber": (0.45, 0.34, 0.22),
    "driftwood": (0.42, 0.35, 0.25), "brick": (0.58, 0.27, 0.18), "clinker": (0.74, 0.6, 0.4),
    "cream": (0.88, 0.86, 0.79), "oak": (0.29, 0.23, 0.17), "yew": (0.13, 0.26, 0.16),
    "willow": (0.52, 0.56, 0.32), "laurel": (0.1, 0.22, 0.13), "juniper": (0.3, 0.44, 0.3),
    "limestone": (0.86, 0.8, 0.66), "larch": (0.58, 0.5, 0.36), "emerald": (0.1, 0.34, 0.22),
    "orange": (0.8, 0.42, 0.1), "plum": (0.46, 0.16, 0.3), "turquoise": (0.14, 0.52, 0.58),
    "rose": (0.8, 0.32, 0.42), "cardboard": (0.72, 0.58, 0.38), "kraft": (0.64, 0.5, 0.3),
}  # fmt: skip
"""No colour of the test splits comes near one for training, however light or dark it is drawn."""


def _train(name: str, kind: str, colours: str, build: Builder, gap: tuple[float, float], least: float) -> Obstacle:
    return Obstacle(name, kind, False, tuple(_TRAIN_COLOURS[word] for word in colours.split()), build, gap, least)


def _test(name: str, kind: str, colours: str, build: Builder, gap: tuple[float, float], least: float) -> Obstacle:
    return Obstacle(name, kind, True, tuple(_TEST_COLOURS[word] for word in colours.split()), build, gap, least)


_HATCHBACK = vehicles.Body(3.95, 1.47, 1.72, 0.92, 0.95, 0.12, (0.62, 0.35), 0.30, 0.24)
_SALOON = vehicles.Body(4.60, 1.43, 1.78, 0.93, 1.20, 0.95, (0.72, 0.62), 0.31, 0.22)
_OFF_ROADER = vehicles.Body(4.55, 1.78, 1.88, 1.12, 1.15, 0.06, (0.38, 0.14), 0.37, 0.34)

OBSTACLES: tuple[Obstacle, ...] = (
    _train("hatchback", "car", "wine navy silver", vehicles.car(_HATCHBACK), (0.6, 1.2), 0.35),
    _train("saloon", "car", "silver slate navy", vehicles.car(_SALOON), (0.6, 1.2), 0.45),
    _test("off_roader", "car", "white black petrol", vehicles.car(_OFF_ROADER), (0.6, 1.3), 0.30),
    _test("delivery_van", "car", "white yellow sand", vehicles.panel_van(4.9, 2.3), (0.6, 1.4), 0.15),
    _train("lamp_post", "pole", "anthracite zinc", street.lamp_post, (0.5, 1.6), 0.50),
    _train("round_bollards", "pole", "concrete anthracite", street.round_bollards, (0.4, 0.9), 0.65),
    _test("timber_pole", "pole", "timber driftwood", street.timber_pole, (0.5, 1.6), 0.35),
    _test("brick_pier", "pole", "brick clinker", street.brick_pier, (0.4, 1.4), 0.15),
    _test("square_posts", "pole", "timber cream", street.square_posts, (0.4, 0.9), 0.65),
    _train("young_tree", "tree", "birch ash", plants.young_tree, (0.4, 1.2), 0.45),
    _train("maple_bough", "tree", "maple lime", plants.maple_bough, (0.5, 1.4), 0.52),
    _test("old_tree", "tree", "oak timber", plants.old_tree, (0.5, 1.5), 0.15),
    _test("weeping_willow", "tree", "yew willow", plants.weeping_willow, (0.5, 1.4), 0.26),
    _train("clipped_hedge", "hedge", "privet olive", plants.clipped_hedge, (0.5, 1.4), 0.15),
    _test("shrubs", "hedge", "laurel juniper", plants.shrubs, (0.5, 1.3), 0.18),
    _train("park_bench", "bench", "teak ash", furniture.park_bench, (0.4, 0.9), 0.70),
    _test("stone_seat", "bench", "limestone larch", furniture.stone_seat, (0.5, 1.0), 0.60),
    _train("wheeled_bin", "bin", "navy slate mahogany", furniture.wheeled_bin, (0.4, 1.1), 0.58),
    _test("litter_bin", "bin", "emerald orange", furniture.litter_bin, (0.4, 0.9), 0.57),
    _test("rubbish_container", "bin", "emerald yellow", furniture.rubbish_container, (0.4, 1.1), 0.45),
    _train("plank_fence", "fence", "mahogany teak", street.plank_fence, (0.5, 1.5), 0.22),
    _train("wire_fence", "fence", "sage slate", street.wire_fence, (0.4, 1.3), 0.15),
    _test("picket_fence", "fence", "cream larch", street.picket_fence, (0.5, 1.5), 0.32),
    _test("bar_fence", "fence", "black petrol", street.bar_fence, (0.4, 1.2), 0.27),
    _train("round_sign", "sign", "signal_blue signal_red", street.round_sign, (0.5, 1.5), 0.36),
    _train("pavement_board", "sign", "anthracite navy", street.pavement_board, (0.4, 1.0), 0.38),
    _test("information_panel", "sign", "petrol plum", street.information_panel, (0.5, 1.5), 0.38),
    _test("advertising_board", "sign", "yellow turquoise rose", street.advertising_board, (0.6, 1.5), 0.15),
    _train("suitcases", "luggage", "wine signal_blue zinc", carried.suitcases, (0.35, 0.8), 0.48),
    _train("luggage_cart", "luggage", "slate wine navy", carried.luggage_cart, (0.4, 0.9), 0.33),
    _test("box_stack", "luggage", "cardboard kraft", carried.box_stack, (0.4, 0.9), 0.26),
    _train("held_umbrella", "umbrella", "anthracite signal_red navy", carried.held_umbrella, (0.3, 0.8), 0.46),
    _test("parasol", "umbrella", "white plum turquoise", carried.parasol, (0.5, 1.2), 0.48),
)  # fmt: skip

KINDS: tuple[str, ...] = (*sorted({model.kind for model in OBSTACLES}), PERSON, BORDER)
"""Everything that may hide a target; each kind of model has its models in both splits."""


def models_of(test: bool, kinds: Sequence[str] | None = None) -> tuple[Obstacle, ...]:
    """The models of the training split, or of query and gallery; the two share neither model nor colour.

    Args:
        test: which split.
        kinds: only these; all unless given.
    """
    return tuple(model for model in OBSTACLES if model.test == test and (kinds is None or model.kind in kinds))


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises:
    DataError: one of them is no kind of obstacle, or there is none.
    """  # noqa: D205
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise DataError(f"obstacles are of the kinds {', '.join(KINDS)}; got {', '.join(unknown) or 'none'}")


def draw_kind(random: np.random.Generator, kinds: Sequence[str], wanted: float, *, test: bool) -> str:
    """A kind of obstacle that can bring a person down to the wanted visible fraction, if any of the kinds can.

    Args:
        random: draws once.
        kinds: some of ``KINDS``.
        wanted: visible fraction in [0, 1].
        test: whose models.
    """
    able = {model.kind for model in models_of(test) if model.least <= wanted}
    possible = [kind for kind in KINDS if kind in kinds and (kind in _SHARES or kind in able)]
    possible = possible or [kind for kind in KINDS if kind in kinds]
    rest = (1.0 - sum(_SHARES.values())) / max(1, sum(kind not in _SHARES for kind in possible))
    weights = np.array([_SHARES.get(kind, rest) for kind in possible])
    lot = random.random() * weights.sum()
    return possible[min(int(np.searchsorted(np.cumsum(weights), lot, side="right")), len(possible) - 1)]


def draw_model(
    random: np.random.Generator,
    kind: str,
    wanted: float,
    place: tuple[float, float],
    eye: float,
    tall: float,
    *,
    test: bool,
) -> tuple[Obstacle, Placement]:
    """A model of a kind, and where it goes.

    Args:
        random: of the image's obstacle.
        kind: of a model.
        wanted: visible fraction in [0, 1].
        place: x, z of the target in metres; the camera stands over (0, 0).
        eye: height of the camera in metres.
        tall: height of the target in metres.
        test: whose models.
    """
    models = models_of(test, (kind,))
    able = [model for model in models if model.least <= wanted] or [min(models, key=lambda model: model.least)]
    model = able[int(random.integers(len(able)))]
    distance = float(np.hypot(*place))
    gap = min(random.uniform(*model.gap), 0.4 * distance)
    away = np.array(place) / distance
    right = np.array([-away[1], away[0]])
    return model, Placement(
        spot=np.array(place) - away * gap + right * random.normal(0.0, 0.03),
        right=right,
        side=float(random.choice((-1.0, 1.0))),
        tall=tall,
        colour=model.paint(random),
        size=random.uniform(0.93, 1.08),
        yaw=random.normal(0.0, 0.12),
        chance=random.random(),
        eye=eye,
        ahead=gap / distance,
    )
