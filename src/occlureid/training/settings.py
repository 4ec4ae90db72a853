"""How a method is trained: every value, its default (the recipe of PGFA) and what goes with what."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from occlureid.config import Settings

__all__ = ["TrainSettings"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class TrainSettings(Settings):
    """What one training run does; written beside its weights and into its checkpoint.

    Raises:
        SettingsError: a value is out of range, or two values do not go together.
    """

    epochs: int = Field(default=60, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(default=32, ge=2)
    """Images in a step, over all processes together; it must divide evenly among them, at least two for each."""

    sampler: Literal["shuffle", "identity"] = "shuffle"
    """How a batch is filled: "shuffle" draws each image once an epoch, "identity" takes "instances" images a person."""

    instances: int = Field(default=4, ge=2)
    """Images of a person in a batch of the identity sampler; must divide batch_size."""

    drop_last: bool = True
    """Leave out the last, smaller batch of an epoch (shuffle sampler)."""

    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    """The optimiser."""

    lr: float = Field(default=0.1, gt=0)
    """Base learning rate; a method may give some of its parameters a part of it (often a tenth for the backbone)."""

    momentum: Fraction = 0.9
    """Momentum of SGD."""

    nesterov: bool = True
    """Nesterov's momentum, SGD only."""

    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay; decoupled from the gradient with adamw."""

    schedule: Literal["step", "cosine", "constant"] = "step"
    """How the learning rate falls: by "decay" at each milestone, along a cosine to "final_factor", or not at all."""

    milestones: tuple[int, ...] = (40,)
    """Epochs, counted from 0 and rising, from which on the step schedule has decayed once more."""

    decay: float = Field(default=0.1, gt=0, le=1)
    """Factor of each milestone."""

    final_factor: Fraction = 0.0
    """The part of the learning rate at which the cosine ends."""

    warmup_epochs: float = Field(default=0.0, ge=0)
    """Epochs, fractions too, over which the learning rate rises linearly from warmup_factor to 1; 0 for no warm-up."""

    warmup_factor: Fraction = 0.01
    """The part of the learning rate at which the warm-up starts."""

    clip_norm: float = Field(default=0.0, ge=0)
    """Largest Euclidean norm of all gradients together; 0 to leave them as they are."""

    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """Arithmetic of forward and backward pass; weights stay float32. "auto" is "bf16-mixed" where products in bfloat16 are native
    and measured faster, else "32-true"; a run that is resumed keeps what it began with. "16-mixed" needs a GPU."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; "auto" takes a GPU if there is one."""

    devices: int = Field(default=1, ge=1)
    """Processes on each node, one a GPU; under torchrun its own number counts instead."""

    nodes: int = Field(default=1, ge=1)
    """Machines; more than one are started with torchrun."""

    sync_batch_norm: bool = False
    """With several processes: normalise the images of all of them together, as one process does; otherwise each its own share."""

    gather_triplets: bool = True
    """With several processes: compare the images of all in a triplet loss, as one process does; otherwise each its own."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides order, augmentation, dropout and the validation persons."""

    workers: int = Field(default=4, ge=0)
    """Processes that load images, for each training process; 0 to load in the training process itself."""

    flip_probability: Fraction = 0.5
    """Chance that an image and its cues are mirrored."""

    pad: int = Field(default=0, ge=0)
    """Pixels added on each side before a random crop back to size; 0 for no crop."""

    erasing_probability: Fraction = 0.5
    """Chance that a random rectangle of an image is erased."""

    erasing_hides_cues: bool = True
    """Erase the cues below the rectangle too; false leaves them, as papers that make their cues beforehand do."""

    paste_obstacles: Fraction = 0.0
    """Chance that a rendered obstacle or person is laid over an image, and hides the cues below it; 0 for none."""

    paste_visible: tuple[float, float] = (0.4, 0.9)
    """Least and greatest share of the person that a pasted obstacle leaves visible."""

    paste_sprites: int = Field(default=64, ge=1, le=4096)
    """Obstacles rendered at the start of a run to be pasted; the seed decides them."""

    box_jitter: float = Field(default=0.0, ge=0, le=0.25)
    """How far each edge of an image is moved at most, in or out, as a share of height or width, as detectors err; 0: none."""

    partial_probability: Fraction = 0.0
    """Chance that an image is cut off at one side besides, so that it shows a part of the person."""

    background_probability: Fraction = 0.0
    """Chance that the background is replaced by another, or blended with it; needs the cue foreground; 0 for none."""

    background_pictures: int = Field(default=64, ge=1, le=1024)
    """Backgrounds taken from training images at the start of a run; the seed decides them."""

    colour_jitter: Fraction = 0.0
    """How far brightness, contrast, saturation, hue, white balance and gamma of every image change; 0 for not at all, 1 far."""

    grey_probability: Fraction = 0.0
    """Chance that an image loses its colours."""

    blur_probability: Fraction = 0.0
    """Chance that an image is blurred, out of focus or by movement."""

    low_resolution_probability: Fraction = 0.0
    """Chance that an image is made smaller, down to a quarter, and enlarged again."""

    noise: float = Field(default=0.0, ge=0, le=0.5)
    """Greatest standard deviation of the noise added to an image, where white is 1; 0 for none."""

    jpeg_probability: Fraction = 0.0
    """Chance that an image is compressed as JPEG, at a quality between 20 and 85."""

    average_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the weights' moving average, which is then what is validated and kept; 0 to keep the weights themselves. 0.999
    averages about the last thousand steps; in the first steps less is averaged."""

    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training persons held out to choose the epoch; 0 trains on all of them and keeps the last epoch."""

    validate_every: int = Field(default=5, ge=1)
    """Epochs between two looks at the held-out persons; the last epoch is always looked at."""

    checkpoint_every: int = Field(default=0, ge=0)
    """Steps between checkpoints within an epoch; 0 for one at the end of each epoch only."""

    guidance_every: int = Field(default=0, ge=0)
    """Epochs between two looks at the part labels that a method makes itself, each a file in "guidance/" of the run's folder: the
    first epoch, every so many after it, and the last; 0 for none."""

    log_every: int = Field(default=20, ge=1)
    """Steps between two lines of the log."""

    on_corrupt: Literal["fatal", "skip"] = "fatal"
    """What an image that cannot be read does: end the run by name, or be skipped, named in the log and tallied."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        nearest = max(2, self.batch_size // self.instances) * self.instances
        if self.sampler == "identity" and (self.batch_size % self.instances or self.batch_size == self.instances):
            problems.append(
                "batch_size must be a multiple of instances and hold at least two persons, got "
                f"{self.batch_size} and {self.instances}; take for example batch_size {nearest} (@batch_size={nearest})"
            )
        if self.optimiser == "sgd" and self.nesterov and self.momentum == 0:
            problems.append("nesterov needs momentum above 0; set @momentum=0.9, or @nesterov=false")
        if any(m < 1 for m in self.milestones) or list(self.milestones) != sorted(set(self.milestones)):
            works = str(sorted({m for m in self.milestones if m >= 1})).replace(" ", "")
            problems.append(
                f"milestones must be rising epochs from 1 on, got {list(self.milestones)}; set @milestones={works}"
            )
        if self.warmup_epochs >= self.epochs:
            problems.append(
                f"warmup_epochs must be below epochs, got {self.warmup_epochs:g} and {self.epochs}; set @warmup_epochs=0 too (no "
                f"warm-up), or @epochs={int(self.warmup_epochs) + 1} or more"
            )
        if self.accelerator == "cpu" and self.precision == "16-mixed":
            problems.append('precision "16-mixed" needs a GPU; on a CPU take "bf16-mixed" or "32-true"')
        if not 0 < self.paste_visible[0] <= self.paste_visible[1] < 1:
            problems.append(
                f"paste_visible must be a range within (0, 1), got {list(self.paste_visible)}; set for example "
                "@paste_visible=[0.4,0.9]"
            )
        if problems:
            raise PydanticCustomError("settings", "; ".join(problems).replace("{", "(").replace("}", ")"))
        return self
