"""A service in a process of its own, with a describer that takes its time; its arguments are a folder and seconds."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import uvicorn

from occlureid import methods
from occlureid.describing import Describer, Prepared
from occlureid.service.app import create_app
from occlureid.service.describer import BatchedDescriber
from occlureid.service.engine import Engine
from occlureid.service.server import Server
from occlureid.service.settings import ServiceSettings


def main(folder: Path, seconds: float) -> None:
    torch.set_num_threads(1)
    method: methods.Method[Any] = methods.restore(folder / "weights.safetensors")
    settings = ServiceSettings()
    describer = BatchedDescriber(Describer(method), settings)
    whole = describer._describe

    def slow(batch: Sequence[Prepared]) -> Any:
        (folder / "describing").touch()
        time.sleep(seconds)
        return whole(batch)

    describer._describe = slow  # type: ignore[method-assign]
    engine = Engine(folder / "galleries", describer, settings)
    Server(uvicorn.Config(create_app(engine), port=0, access_log=False, log_level="info"), engine).run()
    print("ended well", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
