"""The contract of a method, and how one is found: ``load("pgfa")`` imports ``methods/pgfa.py``.

A method describes images; it never compares them. Adding one is adding one file with one ``Method`` subclass: it is then
listed, documented in the generated table, and put through the conformance tests without another edit.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from occlureid.config import Settings
from occlureid.cues.crop import Crop, Cropping
from occlureid.cues.settings import CueSettings
from occlureid.data.images import check_pixels
from occlureid.data.loader import CueSource
from occlureid.errors import DataError, MissingCueError, ShapeError, UsageError
from occlureid.guidance import Guidance, TrainingView
from occlureid.matching import MatchRule
from occlureid.methods._finding import available, import_module
from occlureid.methods._header import NOT_UNDERSTOOD, read_crop, read_tensors, saved_name
from occlureid.models.heads import person_classifiers
from occlureid.types import CueName, Cues, Descriptor, Region

__all__ = [
    "NOT_UNDERSTOOD",
    "Maps",
    "Method",
    "Needs",
    "Paper",
    "Preprocess",
    "available",
    "create",
    "load",
    "restore",
    "save",
    "saved_name",
]


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a method comes from."""

    title: str
    authors: str
    venue: str
    year: int
    link: str


@dataclass(frozen=True, slots=True)
class Needs:
    """The cues that a method needs to train and to describe."""

    train: frozenset[CueName] = frozenset()
    describe: frozenset[CueName] = frozenset()


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What an image goes through before the backbone: it is resized to ``size`` (height, width), then normalised."""

    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def check(self, images: Tensor) -> None:
        """Checks images that are to be described: shape, type and values.

        Raises:
            ShapeError: they are not float of shape (B, 3, H, W) with this size, or their values not of RGB in [0, 1].
        """
        self._check_shape(images)
        check_pixels(images)

    def _check_shape(self, images: Tensor) -> None:
        if not isinstance(images, Tensor):
            raise ShapeError(f"images must be a tensor of shape (B, 3, H, W), got {type(images).__name__}")
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, *self.size) or not images.is_floating_point():
            raise ShapeError(
                f"images must be float of shape (B, 3, {self.size[0]}, {self.size[1]}), got {images.dtype} {tuple(images.shape)}"
            )

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] to the backbone's range, as a copy; a ShapeError where they are not of this size."""
        self._check_shape(images)
        mean = images.new_tensor(self.mean).view(3, 1, 1)
        std = images.new_tensor(self.std).view(3, 1, 1)
        return (images - mean) / std


@dataclass(frozen=True, slots=True)
class Maps:
    """What a method sees where in a batch of images, to be drawn over them.

    Attributes:
        labels: (B, h, w) int64, the label of each pixel, 0 for the background; None where it predicts none.
        names: of the labels from 1 on.
        attention: (B, N, h, w) float in [0, 1], how much each of N maps looks at each place; None where there are none.
        attention_names: of the N maps, or none.
    """

    labels: Tensor | None = None
    names: tuple[str, ...] = ()
    attention: Tensor | None = None
    attention_names: tuple[str, ...] = ()


Output = TypeVar("Output")


class Method(nn.Module, ABC, Generic[Output]):
    """One paper: its network, its losses, what it says of an image, and the rule by which that is compared.

    A subclass sets ``paper``, ``needs`` and ``Config``, builds its layers without fetching anything, and writes ``forward``,
    ``losses`` and ``embed``. ``config.backbone`` names a timm model, kept under ``self.backbone``.

    Attributes:
        needs: the cues that it needs; of the class with its default settings, and of an instance with its own.
        rule: how its descriptors are compared.
        preprocess: the image size and normalisation; travels with the weights.
        provenance: plain values on where the weights come from (recipe, initial weights); travels with them.
        regions: where its parts lie in the image, one Region a part, where that is fixed; used to draw matches.
        grouping: the regions that its part maps should have, a name of ``occlureid.cues.GROUPINGS``.
        crop: how images are cropped before they are resized, None for not at all; travels with the weights.
        whole_batch: set while several processes train together, gives (B, D) vectors and (B,) labels of all of them.
    """

    backbone: nn.Module
    paper: ClassVar[Paper]
    Config: ClassVar[type[Settings]]
    needs: Needs = Needs()
    rule: MatchRule
    preprocess: Preprocess
    regions: tuple[Region, ...] = ()
    grouping: ClassVar[str] = "sorn8"

    def __init__(self, config: Settings, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise ShapeError(f"a method needs at least one class, got {classes}")
        self.config = config
        self.classes = classes
        self.provenance: dict[str, Any] = {}
        self.crop: Crop | None = None
        self.whole_batch: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
        self._fingerprint: tuple[int, str] | None = None

    @classmethod
    def name(cls) -> str:
        """The name under which ``load`` finds it."""
        package, _, module = cls.__module__.rpartition(".")
        return module if package == __name__ else cls.__module__

    def part_names(self) -> tuple[str, ...]:
        """Names of the K parts, from top to bottom; empty for a method that has none, or none that mean a part of the body."""
        return tuple(region.name for region in self.regions)

    @abstractmethod
    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1] and the batch's cues to the method's own output."""

    @abstractmethod
    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """The weighted terms, each a scalar; the training loop only sums them. ``labels``: (B,) in [0, classes)."""

    @abstractmethod
    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """The Descriptor of a batch in evaluation mode; called by ``describe``, which sees to mode and gradient."""

    def compared(self, vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) vectors and (B,) labels for a loss that compares images with each other: those of all processes' batches."""
        return (vectors, labels) if self.whole_batch is None else self.whole_batch(vectors, labels)

    def calibrate(self, cues: Iterable[Cues]) -> None:
        """Measures what the method must know of the cues before it is trained; does nothing unless overridden.

        Called once, before the first step. What it finds belongs into buffers, so that it travels with the weights.

        Args:
            cues: those of all training images in batches, cropped and resized, without any augmentation; made as they are
                asked for, so that a method which does not look costs nothing.
        """

    def guide(self, view: TrainingView) -> Guidance | None:
        """Part labels for the training images, from before the coming epoch on; None keeps those in force.

        Called before every epoch, in all processes with the same weights, and made the same by ``view.merge``. They reach
        ``losses`` as part_map and foreground, which ``needs.train`` then does not list. Weights are not to be trained here.
        """
        return None

    def conclude(self, view: TrainingView) -> None:
        """Measures what belongs with the finished weights, into buffers; does nothing unless overridden.

        Called after the last epoch with the chosen weights, which are then written. Where a run is killed right behind it,
        it is called again on what it left, and must come to the same.
        """

    def maps(self, images: Tensor, cues: Cues) -> Maps:
        """What there is to draw over a batch of images, as ``describe`` gets them; nothing unless overridden."""
        return Maps()

    def describe(self, images: Tensor, cues: Cues | None = None) -> Descriptor:
        """What the method says of some images: no labels, no gradient, the same for an image in any batch.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], of ``preprocess.size``, cropped as ``crop`` says.
            cues: the cues of the batch; those in ``needs.describe`` must be there.

        Raises:
            MissingCueError: a needed cue is not there.
            ShapeError: images of another size or type, or whose values are not those of RGB in [0, 1].
        """
        cues = cues or Cues()
        self.check_cues(cues, "describe")
        self.preprocess.check(images)
        training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                return self.embed(images, cues)
        finally:
            self.train(training)

    def check_cues(self, cues: Cues, purpose: str) -> None:
        """Raises:
        MissingCueError: a cue that is needed to ``purpose`` ("train" or "describe") is not there.
        """  # noqa: D205
        for cue in sorted(getattr(self.needs, purpose) - cues.names):
            others = [n for n in available() if not getattr(load(n).needs, purpose)]
            raise MissingCueError(
                f"method {self.name()!r} needs the cue {cue!r} to {purpose}; give it, or choose a method that needs none: "
                f"{', '.join(others)}"
            )

    def wants(self, *purposes: str) -> frozenset[CueName]:
        """The cues that images must come with for some of "train" and "describe": those in ``needs``, and those of the crop."""
        cues: frozenset[CueName] = frozenset().union(*(getattr(self.needs, purpose) for purpose in purposes))
        return cues | {"part_map"} if self.crop else cues

    def cue_settings(self, settings: CueSettings | None = None) -> CueSettings:
        """Where its cues come from: the given settings, with the grouping of part maps that it needs where they name none.

        A method that needs no part map gets one only to be cropped by, and then in SGAM's regions.
        """
        settings = settings or CueSettings()
        if "grouping" in settings.model_fields_set:
            return settings
        needed = "part_map" in self.needs.train | self.needs.describe
        return settings.with_changes(grouping=self.grouping if needed else "sgam5")

    def cropping(self, cues: CueSource | None, purpose: str) -> Cropping | None:
        """What crops the images and gives the cues that are needed to ``purpose``; None where nothing is cropped.

        Raises:
            MissingCueError: there is no source of cues.
        """
        if self.crop is None:
            return None
        if cues is None:
            raise MissingCueError(
                f"the images of this {self.name()!r} are cropped, which needs the cue 'part_map'; give it"
            )
        return Cropping(self.crop, cues, getattr(self.needs, purpose))

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The groups for the optimiser: the backbone at ``config.backbone_lr_factor`` (1 if there is none) of the rate."""
        backbone = {id(p) for p in self.backbone.parameters()} if "backbone" in self._modules else set()
        trained = [p for p in self.parameters() if p.requires_grad]
        factor = float(getattr(self.config, "backbone_lr_factor", 1.0))
        groups = [
            {"params": [p for p in trained if id(p) in backbone], "lr": lr * factor},
            {"params": [p for p in trained if id(p) not in backbone], "lr": lr},
        ]
        return [group for group in groups if group["params"]]

    def fingerprint(self) -> str:
        """Name and hash of weights and settings, such as ``pgfa@91c0d2e47a3b``; recomputed only when a weight has changed."""
        state = self.state_dict(keep_vars=True)
        version = hash((self.crop, *((t._version, t.data_ptr()) for t in state.values())))
        if self._fingerprint is None or self._fingerprint[0] != version:
            digest = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode())
            if self.crop is not None:
                digest.update(json.dumps(self.crop.to_json(), sort_keys=True).encode())
            for key in sorted(state):
                value = state[key].detach().cpu().contiguous()
                digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
            self._fingerprint = (version, f"{self.name()}@{digest.hexdigest()[:12]}")
        return self._fingerprint[1]


def load(name: str) -> type[Method[Any]]:
    """The Method of ``methods/<name>.py``, or of a module of one's own: on Python's path, or in the current folder.

    Raises:
        UsageError: there is no such module, or it does not hold exactly one Method.
    """
    module = import_module(name)
    found = [
        c
        for c in vars(module).values()
        if inspect.isclass(c)
        and issubclass(c, Method)
        and c.__module__ == module.__name__
        and not inspect.isabstract(c)
    ]
    if len(found) != 1:
        raise UsageError(f"{module.__name__} must hold exactly one Method, found {[c.__name__ for c in found]}")
    return found[0]


def create(name: str, classes: int, settings: Mapping[str, Any] | None = None, *, seed: int = 0) -> Method[Any]:
    """A new method with random weights that depend on ``seed`` alone; nothing is fetched.

    Raises:
        UsageError: no such method.
        SettingsError: a setting is unknown or out of range.
    """
    return _build(load(name), classes, settings or {}, seed)


def _build(cls: type[Method[Any]], classes: int, settings: Mapping[str, Any], seed: int) -> Method[Any]:
    config = cls.Config.build(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(config, classes)


def save(method: Method[Any], path: Path | str) -> None:
    """Writes weights and settings as one safetensors file, atomically; ``restore`` needs nothing else."""
    path = Path(path)
    metadata = {"occlureid": "method", "name": method.name(), "classes": str(method.classes)}
    metadata["config"] = json.dumps(method.config.to_dict())
    metadata["provenance"] = json.dumps(method.provenance)
    if method.crop is not None:
        metadata["crop"] = json.dumps(method.crop.to_json())
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in method.state_dict().items()}, partial, metadata=metadata)
    partial.replace(path)


def restore(
    path: Path | str,
    method_class: type[Method[Any]] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Method[Any]:
    """The method that ``save`` wrote, in evaluation mode; nothing in the file is executed, nothing is fetched.

    Weights as they are released, in half precision and without the classifiers of the training's persons, are read as well.

    Args:
        path: the file.
        method_class: the class, where it lives outside this package: a file may not choose what is imported.
        changes: settings to change that leave the layers as they are, such as what is matched.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is damaged, is not a method, or does not fit its settings.
        SettingsError: a changed setting is unknown or out of range.
    """
    path = Path(path)
    try:
        metadata, state = read_tensors(path)
        name, classes, settings = metadata["name"], int(metadata["classes"]), json.loads(metadata["config"])
        if method_class is None and name not in available():
            raise DataError(
                f"{path}: its method {name!r} lives outside the package; pass it: restore(path, methods.load({name!r}))"
            )
        if classes > max((size for tensor in state.values() for size in tensor.shape), default=0):
            raise DataError(f"{path}: damaged: it claims {classes} classes, and no tensor in it has as many rows")
        cls = method_class or load(name)
        cls.Config.build(settings)
        provenance = dict(json.loads(metadata.get("provenance", "{}")))
        crop = read_crop(path, metadata)
    except NOT_UNDERSTOOD as error:
        raise DataError(f"{path}: cannot be restored: {error}") from error
    method = _build(cls, classes, {**settings, **(changes or {})}, seed=0)
    if metadata.get("classifiers") == "left out":  # released weights: describing never looks at them
        own = method.state_dict()
        state |= {key: torch.zeros_like(own[key]) for key in person_classifiers(own)}
    try:
        method.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights do not fit the settings: {error}") from error
    method.provenance, method.crop = provenance, crop
    return method.eval()
