"""Data: datasets of the field and of one's own, joint transforms of image and cues, samplers, loaders."""

from occlureid.data.dataset import Counts, ReidDataset, label_map
from occlureid.data.images import read_image
from occlureid.data.loader import Batch, BatchLoader, CueSource, ReidImages, Tally, make_loader
from occlureid.data.readers import LAYOUTS, Layout, open_dataset
from occlureid.data.samplers import BalancedBatches, Draw, OrderedBatches, ShuffledBatches
from occlureid.data.transforms import Compose, HorizontalFlip, PadCrop, RandomErasing, Resize

__all__ = [
    "LAYOUTS",
    "BalancedBatches",
    "Batch",
    "BatchLoader",
    "Compose",
    "Counts",
    "CueSource",
    "Draw",
    "HorizontalFlip",
    "Layout",
    "OrderedBatches",
    "PadCrop",
    "RandomErasing",
    "ReidDataset",
    "ReidImages",
    "Resize",
    "ShuffledBatches",
    "Tally",
    "label_map",
    "make_loader",
    "open_dataset",
    "read_image",
]
