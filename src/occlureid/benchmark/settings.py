"""What the benchmark is: its world, what all trainings share, what each method needs changed, how cues are spoiled."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from occlureid.config import Settings
from occlureid.synthetic import WorldSettings

__all__ = ["METHODS", "BenchmarkSettings", "NoisyCue"]

METHODS: tuple[str, ...] = ("baseline", "pcb", "pgfa", "sgam", "sorn", "hcga", "gasm")
"""The methods that are compared, in the order of tables and charts."""

NoisyCue = Literal["keypoints", "part_map"]
Rates = tuple[Annotated[float, Field(gt=0, le=1)], ...]

_EVERY: dict[str, Any] = {
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [192, 64]},
    "train": {
        "epochs": 6,
        "batch_size": 32,
        "optimiser": "adamw",
        "lr": 0.001,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "precision": "auto",
        "flip_probability": 0.5,
        "erasing_probability": 0.5,
        "workers": 0,
        "checkpoint_every": 100,
    },
}

_CHANGES: dict[str, dict[str, Any]] = {
    "pcb": {"model": {"backbone_lr_factor": 1.0, "dropout": 0.2}},
    "pgfa": {"model": {"backbone_lr_factor": 1.0, "dropout": 0.2}},
    "sgam": {"model": {"backbone_lr_factor": 1.0, "dropout": 0.2}},
    "sorn": {
        "model": {
            "set_channels": 256,
            "semantic_channels": 64,
            "segmentation_average": "classes",
            # Eq. 5 as it is printed, a sum over pixels, keeps a network with random weights from learning anything else
            "spc_reduction": "mean_pixels",
        }
    },
    "hcga": {"model": {"levels": 3, "map_stride": 8, "width": 128, "coparse_every": 2}},
    "gasm": {"model": {"weight_mask": 0.5, "weight_pose": 0.5}},
}

_NOISE: dict[NoisyCue, dict[str, Rates]] = {
    "keypoints": {"jitter": (0.02, 0.04, 0.08), "miss": (0.2, 0.4, 0.8), "swap": (0.25, 0.5, 1.0)},
    "part_map": {"boundary": (0.01, 0.03, 0.06), "miss": (0.2, 0.4, 0.8), "swap": (0.1, 0.2, 0.4)},
}


def _world() -> WorldSettings:
    return WorldSettings(
        seed=2026,
        cameras=8,
        train_persons=250,
        train_images=1,
        test_persons=240,
        query_images=1,
        gallery_images=1,
        size=(192, 64),
        occluded_query=0.9,
        visible_range=(0.2, 0.95),
    )


class BenchmarkSettings(Settings):
    """The whole of the benchmark, but for the methods and seeds that are asked for.

    Raises:
        SettingsError: a value is out of range, or two do not go together.
    """

    world: WorldSettings = Field(default_factory=_world)
    """the world: training split, queries of every visible fraction and obstacle, gallery"""
    every: dict[str, Any] = Field(default_factory=lambda: _EVERY)
    """settings of every training, over the method's recipe: backbone, size, epochs, optimiser, first weights; train.precision
    "auto" is settled when a folder is begun, so that all trainings in it are alike, whatever processors join in"""
    changes: dict[str, dict[str, Any]] = Field(default_factory=lambda: _CHANGES)
    """what a method needs changed at this size, over "every", by its name"""
    noise: dict[NoisyCue, dict[str, Rates]] = Field(default_factory=lambda: _NOISE)
    """faults of the cues at description and their rates (those of cues.degrade), by the cue that a method describes with"""
    noise_seeds: tuple[int, ...] = (0,)
    """seeds of the trainings whose sensitivity to noise is measured; none for no such measurement"""
    resamples: int = Field(default=1000, ge=1)
    """draws of the bootstrap over persons"""
    rate_batch: int = Field(default=32, ge=1)
    """images described at a time where the rate is measured"""
    rate_rounds: int = Field(default=9, ge=1)
    """rounds in which every method describes one batch, in turn; the medians count"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        from occlureid.cues import Degradation

        for faults in self.noise.values():
            for fault, rates in faults.items():
                if list(rates) != sorted(set(rates)):
                    raise ValueError(f"noise of {fault} must have rising rates, got {list(rates)}")
                for rate in rates:
                    Degradation.build({fault: rate})
        for name in ("seed", "accelerator"):
            if name in self.every.get("train", {}):
                raise ValueError(f"every.train.{name} is not a setting of the benchmark: it is chosen by the call")
        return self

    def layers(self, method: str, seed: int, device: str) -> tuple[dict[str, Any], ...]:
        """The settings of one training, over the recipe of the method's name.

        Args:
            method: one of ``METHODS``.
            seed: of the training.
            device: "cpu" trains there, anything else where there is an accelerator.
        """
        accelerator = "cpu" if device == "cpu" else "auto"
        return self.every, self.changes.get(method, {}), {"train": {"seed": seed, "accelerator": accelerator}}
