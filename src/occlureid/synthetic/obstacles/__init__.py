"""What people get hidden behind. Training and test use different models, so that nobody can learn the obstacle.

A model is a function of an *amount* in [0, 1]: at 0 it hides (nearly) nothing of the target, at 1 as much as it can. It comes
in from a side, or it is a taller fence, a lower branch; the amount that gives a wanted visible fraction is then looked up on
coarse renderings. ``kit`` puts boxes and rods together, ``vehicles``, ``plants``, ``street``, ``furniture`` and ``carried``
hold the models, ``catalogue`` lists them with their colours.
"""

from occlureid.synthetic.obstacles.catalogue import (
    BORDER,
    KINDS,
    NONE,
    OBSTACLES,
    PERSON,
    Obstacle,
    check_kinds,
    draw_kind,
    draw_model,
    models_of,
)
from occlureid.synthetic.obstacles.kit import Builder, Colour, Placement

__all__ = [
    "BORDER",
    "KINDS",
    "NONE",
    "OBSTACLES",
    "PERSON",
    "Builder",
    "Colour",
    "Obstacle",
    "Placement",
    "check_kinds",
    "draw_kind",
    "draw_model",
    "models_of",
]
