"""Co-parsing of a folder of pictures of one person, on a method's features or straight on the colours (HCGA, section V-B)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlureid.coparsing.persons import PersonImages, PersonParsing
from occlureid.coparsing.scores import ParsingScores, score_parsing
from occlureid.coparsing.settings import CoparseSettings
from occlureid.coparsing.stream import MEMORY, coparse
from occlureid.cues.exact import TRUE_PART_FOLDERS, ExactCues
from occlureid.cues.groupings import GROUPINGS
from occlureid.cues.overlay import PART_TINTS
from occlureid.data.files import image_files
from occlureid.data.images import read_image
from occlureid.data.truth import TRUTH_FILE
from occlureid.errors import DataError, UsageError
from occlureid.plots import contact_sheet, draw_labels, legend
from occlureid.types import Sample

if TYPE_CHECKING:
    from occlureid.methods import Method

__all__ = ["COLOUR_SETTINGS", "FolderParsing", "coparse_folder", "draw_parsing", "folder_samples", "score_folder"]

COLOUR_SETTINGS: dict[str, Any] = {"weight_local": 1.0, "weight_background": 1.0}
"""What differs when colours are parsed: the paper says that both weights do, and prints neither. These gave the best foreground
of seven pairs tried on three rendered persons."""

GROUPING = "hcga4"
"""The regions that three parts are compared with where the truth is known."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HEIGHT = 192
_NAMED = re.compile(r"(?P<person>-1|\d{1,18})_c(?P<camera>\d{1,9})(?!\d)(?:s\d+_|_f)?(?P<time>\d{1,18})?.*", re.ASCII)


@dataclass(frozen=True, eq=False)
class FolderParsing:
    """Pictures of one person, and what was found in them.

    Attributes:
        samples: (n) the pictures.
        images: (n, 3, H, W) RGB in [0, 1], as they were parsed.
        parsing: their labels, smaller than the pictures where features were parsed.
    """

    samples: tuple[Sample, ...]
    images: Tensor
    parsing: PersonParsing


def folder_samples(folder: Path | str, person: str | None = None) -> list[Sample]:
    """The pictures of one person in a folder, sorted by name.

    Camera and frame come from the names where all begin like ``0001_c2`` (and go on like ``0001_c2_f0001234`` or
    ``0001_c2s1_000451``); otherwise all are of one camera, in the order of their names.

    Args:
        folder: of image files only.
        person: which person's pictures to take, where the names say that there are several.

    Raises:
        DataError: there is no such folder, it holds no images, or other files.
        UsageError: the names say that there are several persons and none is chosen, or the one chosen is not there.
    """
    folder = Path(folder)
    files = image_files(folder)
    if not files:
        raise DataError(f"{folder}: expected pictures of one person, found none")
    found = [_NAMED.fullmatch(path.name) for path in files]
    if not all(found):
        if person is not None:
            raise UsageError(f"{folder}: not all names begin with <person>_c<camera>, so that no person can be chosen")
        return [Sample(path, "unknown", "1") for path in files]
    samples = [
        Sample(path, name["person"], name["camera"], time=None if name["time"] is None else int(name["time"]))
        for path, name in zip(files, found, strict=True)
        if name is not None
    ]
    persons = sorted({sample.person for sample in samples})
    if person is None and len(persons) > 1:
        raise UsageError(
            f"{folder}: pictures of {len(persons)} persons ({', '.join(persons[:5])}, ...); co-parsing needs one: choose it"
        )
    if person is not None and person not in persons:
        raise UsageError(f"{folder}: no pictures of person {person!r}; there are {', '.join(persons[:20])}")
    return [sample for sample in samples if person is None or sample.person == person]


def coparse_folder(
    folder: Path | str,
    method: Method[Any] | None = None,
    settings: CoparseSettings | None = None,
    *,
    person: str | None = None,
    size: tuple[int, int] = (128, 64),
    seed: int = 0,
    device: str | torch.device = "cpu",
    memory: int = MEMORY,
) -> FolderParsing:
    """Parses the pictures of one person together.

    Args:
        folder: see ``folder_samples``.
        method: whose features are parsed: what its ``pixel_features`` gives, or else its backbone; moved to ``device`` and left
            there. Of None, the colours themselves, with ImageNet's mean and deviation brought to 0 and 1.
        settings: of the decoder; the defaults, for colours with ``COLOUR_SETTINGS``, unless given.
        person: which person, where the folder has several.
        size: height and width to which pictures are resized where their colours are parsed; a method says its own.
        seed: fixes where the decoder starts.
        device: where it is trained.
        memory: see ``coparse``.

    Raises:
        DataError: there is no such folder, it holds no images, or other files, or a picture cannot be read; it is named.
        UsageError: the person cannot be told, or the method gives no map of features.
    """
    samples = folder_samples(folder, person)
    height, width = size if method is None else method.preprocess.size
    pictures = [
        np.asarray(read_image(sample.path).resize((width, height), Image.Resampling.BILINEAR)) for sample in samples
    ]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    if method is None:
        settings = settings or CoparseSettings.build(COLOUR_SETTINGS)
        features = (images - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_STD).view(3, 1, 1)
    else:
        features = _features(method.to(device), images.to(device))
    one = PersonImages.of(0, features, samples, range(len(samples)))
    (parsing,) = coparse([one], settings, seed=seed, device=device, memory=memory)
    return FolderParsing(tuple(samples), images, parsing)


def _features(method: Method[Any], images: Tensor, batch_size: int = 16) -> Tensor:
    """(n, q, h, w) features of a method, in evaluation mode."""

    def features(batch: Tensor) -> Any:
        own = getattr(method, "pixel_features", None)
        return own(batch) if own else method.backbone(method.preprocess.normalise(batch))

    training = method.training
    method.eval()
    try:
        with torch.no_grad():
            found = [features(batch) for batch in torch.split(images, batch_size)]
    finally:
        method.train(training)
    if not all(isinstance(map_, Tensor) and map_.ndim == 4 for map_ in found):
        raise UsageError(f"{method.name()} gives no map of features (n, q, h, w) that could be parsed")
    return torch.cat(found)


def draw_parsing(result: FolderParsing, *, columns: int = 4, names: Sequence[str] = ()) -> Image.Image:
    """A sheet: each picture, beside it the decoder's labels, and the background dimmed and parts tinted.

    Args:
        result: of ``coparse_folder``.
        columns: pictures in a row.
        names: of the parts, for a line below; none is drawn without.

    Raises:
        UsageError: ``columns`` is below 1.
    """
    if columns < 1:
        raise UsageError(f"columns must be at least 1, got {columns}")
    panels, captions = [], []
    parsing = result.parsing
    for index, sample in enumerate(result.samples):
        values = (result.images[index].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        picture = Image.fromarray(values)
        clusters = parsing.clusters[index].numpy().astype(np.int64) + 1
        parts = draw_labels(picture, parsing.labels[index].numpy(), PART_TINTS)
        panels += [picture, draw_labels(picture, clusters, PART_TINTS, strength=1.0), parts]
        captions += [sample.path.stem[-14:], "labels", "parts" if bool(parsing.known[index]) else "nothing known"]
    sheet = contact_sheet(panels, 3 * min(columns, len(result.samples)), captions, height=_HEIGHT)
    if not names:
        return sheet
    line = legend(names, PART_TINTS)
    joined = Image.new("RGB", (max(sheet.width, line.width), sheet.height + line.height), (255, 255, 255))
    joined.paste(sheet, (0, 0))
    joined.paste(line, (0, sheet.height))
    return joined


def score_folder(result: FolderParsing, grouping: str = GROUPING) -> ParsingScores | None:
    """How good the labels are, where the folder is a split of a rendered world, whose truth lies beside it.

    Args:
        result: of ``coparse_folder``.
        grouping: true regions to compare with, from top to bottom, as many as there are parts; see ``GROUPINGS``.

    Returns:
        None where there is no truth, or it has not as many regions as the labels have parts.

    Raises:
        DataError: the truth is damaged.
    """
    root = result.samples[0].path.parent.parent
    parts = len(GROUPINGS[grouping])
    told = (root / TRUTH_FILE).is_file() and (root / TRUE_PART_FOLDERS["eanet8"]).is_dir()
    if not told or int(result.parsing.labels.max()) > parts:
        return None
    source = ExactCues(root, ["part_map"], grouping=grouping)
    rows, columns = result.parsing.labels.shape[1:]
    truth = []
    for sample in result.samples:
        with Image.open(sample.path) as image:
            size = image.height, image.width
        maps = source(sample, size).require("part_map")
        truth.append(torch.nn.functional.adaptive_avg_pool2d(maps, (rows, columns)))
    return score_parsing(result.parsing.labels, torch.stack(truth), result.parsing.known)
