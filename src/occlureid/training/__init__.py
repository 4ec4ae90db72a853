"""Training: one loop for all methods, checkpoints that survive a kill, an epoch chosen on held-out persons."""

from occlureid.training.checkpoint import read_checkpoint
from occlureid.training.guidance_file import GuidanceFile, read_guidance
from occlureid.training.loop import TrainResult, train_method, training_labels
from occlureid.training.precision import device_kind, settled
from occlureid.training.processes import TrainingStoppedError
from occlureid.training.schedule import learning_rate_factor
from occlureid.training.settings import TrainSettings
from occlureid.training.step import DivergedError
from occlureid.training.validation import ValidationSplit, split_validation

__all__ = [
    "DivergedError",
    "GuidanceFile",
    "TrainResult",
    "TrainSettings",
    "TrainingStoppedError",
    "ValidationSplit",
    "device_kind",
    "learning_rate_factor",
    "read_checkpoint",
    "read_guidance",
    "settled",
    "split_validation",
    "train_method",
    "training_labels",
]
