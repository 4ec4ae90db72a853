"""Providers for those who have only images: ViTPose and SegFormer from Hugging Face transformers (the extra ``cues``)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from occlureid.arithmetic import resolve
from occlureid.cues.groupings import LABEL_SETS, label_set, part_flip
from occlureid.cues.keypoints import FloatArray, to_landmarks
from occlureid.cues.providers import ImageArray, as_arrays, fingerprint_of, weights_checksum
from occlureid.errors import DataError, MissingWeightsError, SettingsError
from occlureid.types import CueName, Cues

__all__ = ["PARSING_MODEL", "POSE_MODEL", "Precision", "TransformersParsing", "TransformersPose"]

POSE_MODEL = "usyd-community/vitpose-base-simple"
PARSING_MODEL = "mattmdjaga/segformer_b2_clothes"

Precision = Literal["auto", "float32", "bfloat16", "float16"]
_TYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Model:
    """A network with its image processor, by name or path, in evaluation mode on a device."""

    def __init__(
        self, kind: str, model: str, device: torch.device | str, precision: str, batch_size: int, **where: Any
    ) -> None:
        if precision not in ("auto", *_TYPES) or batch_size < 1:
            raise SettingsError(
                f"precision must be one of auto, {', '.join(_TYPES)} and batch_size at least 1, got {precision!r}, {batch_size}"
            )
        self.precision = precision if precision == "float16" else resolve(precision, device)
        lacking = [name for name in ("transformers", "scipy") if importlib.util.find_spec(name) is None]
        if lacking:
            raise MissingWeightsError(
                f"{model}: needs the package {' and '.join(lacking)}, which is not installed: pip install 'occlureid[cues]'"
            )
        from occlureid.models.torchvision_operators import declare_missing

        declare_missing()  # transformers imports torchvision
        import transformers

        load_processor: Any = transformers.AutoImageProcessor.from_pretrained
        try:
            self.processor: Any = load_processor(model, **where)
            self.network: Any = getattr(transformers, kind).from_pretrained(model, use_safetensors=True, **where)
        except (OSError, ValueError, KeyError) as error:
            raise MissingWeightsError(
                f"{model}: no weights of a {kind} (.safetensors) and its image processor can be had there: "
                f"{' '.join(str(error).split())[:300]}; give a folder that save_pretrained wrote, or the name of a model "
                "on the hub"
            ) from error
        self.checksum = weights_checksum(self.network)
        self.device, self.type, self.batch_size = torch.device(device), _TYPES[self.precision], batch_size
        self.network.requires_grad_(False).eval().to(self.device, self.type)

    def run(self, images: list[ImageArray], **more: Any) -> Any:
        """The network's output for some images."""
        inputs = self.processor(images=images, return_tensors="pt", **more)["pixel_values"]
        extra: dict[str, Any] = {}
        if getattr(getattr(self.network.config, "backbone_config", None), "num_experts", 1) > 1:
            # ViTPose++ has an expert for each data set it was trained on; the first is COCO's.
            extra["dataset_index"] = torch.zeros(len(images), dtype=torch.long, device=self.device)
        with torch.inference_mode():
            return self.network(inputs.to(self.device, self.type), **extra)

    def batches(self, images: list[ImageArray]) -> list[list[ImageArray]]:
        """The images, at most ``batch_size`` at a time."""
        return [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]


class TransformersPose:
    """COCO's 17 landmarks by ViTPose (``VitPoseForPoseEstimation``), as the 18 of this package.

    A crop shows one person: the whole image is that person's box. Every landmark is given a place and a confidence, the
    height of its heatmap's peak, clamped to [0, 1]; one whose place is no finite number near the image was not found.

    Args:
        model: the name of a model on the hub (fetched by transformers, or from its cache), or a folder.
        device: where the network runs.
        precision: the network's arithmetic, "auto" for what this processor is best at.
        batch_size: images at a time; no part of the fingerprint.
        revision: of a model on the hub.
        local_only: take what is on this machine only.

    Raises:
        MissingWeightsError: the extra ``cues`` is not installed, or there is no such model.
        SettingsError: a value is out of range, or the model gives other than 17 landmarks.
    """

    name = "vitpose"
    cues: frozenset[CueName] = frozenset({"keypoints"})
    labels: str | None = None

    def __init__(
        self,
        model: str = POSE_MODEL,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        batch_size: int = 32,
        revision: str | None = None,
        local_only: bool = False,
    ) -> None:
        where = {"revision": revision or "main", "local_files_only": local_only}
        self._model = _Model("VitPoseForPoseEstimation", model, device, precision, batch_size, **where)
        joints = self._model.network.config.num_labels
        if joints != 17:
            raise SettingsError(f"{model}: gives {joints} landmarks; expected the 17 of COCO")
        self.record: dict[str, Any] = {
            "name": self.name, "model": model, "weights": self._model.checksum, "precision": self._model.precision,
            "processor": self._model.processor.to_dict(),
        }  # fmt: skip
        self.fingerprint = fingerprint_of(_portable(self.record))

    def __call__(self, images: Sequence[ImageArray] | Tensor) -> list[Cues]:
        """Keypoints (18, 3) of each image.

        Raises:
            ShapeError: the images are none.
        """
        found: list[Cues] = []
        for batch in self._model.batches(as_arrays(images)):
            boxes = [[[0.0, 0.0, float(image.shape[1]), float(image.shape[0])]] for image in batch]
            output = self._model.run(batch, boxes=boxes)
            output.heatmaps = output.heatmaps.float()
            people = self._model.processor.post_process_pose_estimation(output, boxes=boxes)
            for image, (person,) in zip(batch, people, strict=True):
                places, scores = person["keypoints"].double().numpy(), person["scores"].double().numpy()
                landmarks = _coco_landmarks(places, scores, (image.shape[0], image.shape[1]))
                found.append(Cues(keypoints=torch.from_numpy(landmarks).to(torch.float32)))
        return found


def _coco_landmarks(places: FloatArray, scores: FloatArray, size: tuple[int, int]) -> FloatArray:
    """(18, 3) from (17, 2) places in the model's convention, where the centre of the first pixel is 0, and scores."""
    limits = np.array([size[1], size[0]], dtype=np.float64)
    near = (
        np.isfinite(places).all(axis=1) & np.isfinite(scores) & (np.abs(places - limits / 2) <= 2 * limits).all(axis=1)
    )
    triples = np.column_stack([places + 0.5, scores.clip(0.0, 1.0)])
    triples[~near] = 0.0
    return to_landmarks(triples)


class TransformersParsing:
    """Human parsing by SegFormer (``SegformerForSemanticSegmentation``): probabilities of every label of a label set.

    Which label set, and in which order, the names in the model's configuration say (``id2label``, in any order, spelling of
    case and hyphens aside); a model with other names needs ``rename``, one with none needs ``labels``. Probabilities are
    rounded to 255ths, as the cache stores them.

    Args:
        model: the name of a model on the hub (fetched by transformers, or from its cache), or a folder.
        labels: the label set whose numbers the model uses; None to go by the names.
        rename: the name in a label set for a name in the model, such as {"trousers": "pants"}.
        device: where the network runs.
        precision: the network's arithmetic, "auto" for what this processor is best at.
        batch_size: images at a time; no part of the fingerprint.
        revision: of a model on the hub.
        local_only: take what is on this machine only.

    Raises:
        MissingWeightsError: the extra ``cues`` is not installed, or there is no such model.
        SettingsError: a value is out of range, or the model's labels are those of no label set.
    """

    name = "segformer"
    cues: frozenset[CueName] = frozenset({"part_map", "foreground"})

    def __init__(
        self,
        model: str = PARSING_MODEL,
        *,
        labels: str | None = None,
        rename: Mapping[str, str] | None = None,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        batch_size: int = 16,
        revision: str | None = None,
        local_only: bool = False,
    ) -> None:
        where = {"revision": revision or "main", "local_files_only": local_only}
        self._model = _Model("SegformerForSemanticSegmentation", model, device, precision, batch_size, **where)
        names = self._model.network.config.id2label
        ordered = [str(names[number]) for number in range(len(names))]
        found, self._order = _label_order(model, ordered, labels, rename or {})
        self.labels: str | None = found
        self._flip = part_flip(label_set(found).parts)
        self.record: dict[str, Any] = {
            "name": self.name, "model": model, "weights": self._model.checksum, "precision": self._model.precision,
            "processor": self._model.processor.to_dict(), "labels": self.labels, "order": self._order,
        }  # fmt: skip
        self.fingerprint = fingerprint_of(_portable(self.record))

    def __call__(self, images: Sequence[ImageArray] | Tensor) -> list[Cues]:
        """Part maps (K, H, W) of the label set's parts, and the foreground.

        Raises:
            ShapeError: the images are none.
            DataError: the network gives NaN, as float16 does where its range is too small.
        """
        found: list[Cues] = []
        for batch in self._model.batches(as_arrays(images)):
            logits = self._model.run(batch).logits.float()[:, self._order]
            for image, one in zip(batch, logits, strict=True):
                resized = F.interpolate(one[None], image.shape[:2], mode="bilinear", align_corners=False)[0]
                maps = (resized.softmax(0) * 255).round()[1:].to("cpu") / 255
                if not bool(torch.isfinite(maps).all()):
                    raise DataError(f"{self.record['model']}: gives NaN; try precision float32 or bfloat16")
                foreground = (maps.sum(0).clamp(max=1.0) * 255).round() / 255
                found.append(Cues(part_map=maps, foreground=foreground, part_flip=self._flip))
        return found


def _portable(record: dict[str, Any]) -> dict[str, Any]:
    """What of a record the cues depend on: weights and settings, not the place where they were found."""
    return {key: value for key, value in record.items() if key != "model"}


def _label_order(model: str, names: list[str], labels: str | None, rename: Mapping[str, str]) -> tuple[str, list[int]]:
    """The label set, and for each of its labels the model's channel."""
    if labels is not None:
        if len(label_set(labels).labels) != len(names) or label_set(labels).kind == "fields":
            raise SettingsError(f"{model}: has {len(names)} labels, which are not those of {labels!r}")
        return labels, list(range(len(names)))
    own = [re.sub(r"[^a-z0-9]+", "_", rename.get(name, name).lower()).strip("_") for name in names]
    for known in LABEL_SETS.values():
        if known.kind == "labels" and sorted(known.labels) == sorted(own):
            return known.name, [own.index(label) for label in known.labels]
    near = max(LABEL_SETS.values(), key=lambda known: len(set(known.labels) & set(own)))
    strange = sorted(set(own) - set(near.labels)) or sorted(set(near.labels) - set(own))
    raise SettingsError(
        f"{model}: its {len(own)} labels are those of no label set ({', '.join(LABEL_SETS)}); the nearest is {near.name!r}, "
        f"which differs in {', '.join(strange[:6])}; name each with rename, or say which set's numbers they are with labels"
    )
