"""Data: datasets of the field and of one's own, joint transforms of image and cues, samplers, loaders."""

from occlureid.data.dataset import Counts, ReidDataset, label_map
from occlureid.data.guided import GuidedCues
from occlureid.data.images import read_image
from occlureid.data.joined import join_training, with_training
from occlureid.data.lip import ParsingDataset, ParsingSample, read_lip, read_parsing_world
from occlureid.data.loader import Batch, BatchLoader, CueSource, ReidImages, Tally, make_loader
from occlureid.data.occluded_duke import build_occluded_duke
from occlureid.data.paste import PasteObstacle
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
    "GuidedCues",
    "HorizontalFlip",
    "Layout",
    "OrderedBatches",
    "PadCrop",
    "ParsingDataset",
    "ParsingSample",
    "PasteObstacle",
    "RandomErasing",
    "ReidDataset",
    "ReidImages",
    "Resize",
    "ShuffledBatches",
    "Tally",
    "build_occluded_duke",
    "join_training",
    "label_map",
    "make_loader",
    "open_dataset",
    "read_image",
    "read_lip",
    "read_parsing_world",
    "with_training",
]
