"""A tiny method that keeps account of what it describes, and kills the process that it runs in once."""

import os
import signal
import uuid
from pathlib import Path

from torch import Tensor

from occlureid.types import Cues, Descriptor
from tests.tiny_method import Config, TinyMethod


class FatalMethod(TinyMethod):
    account: Path | None = None
    """a folder that gets a file for every batch"""
    fatal: Path | None = None
    """a file: the process that finds it removes it, and dies"""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__(config, classes)

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        if self.fatal is not None:
            try:
                self.fatal.unlink()
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if self.account is not None:
            (self.account / uuid.uuid4().hex).write_text(str(len(images)))
        return super().embed(images, cues)
