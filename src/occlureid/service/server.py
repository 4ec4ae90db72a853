"""The process: where it listens, who is let in, and how it ends."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from types import FrameType

import uvicorn

from occlureid.describing import Describer
from occlureid.errors import UsageError
from occlureid.service.app import create_app
from occlureid.service.describer import BatchedDescriber
from occlureid.service.engine import Engine
from occlureid.service.gate import LOOPBACK
from occlureid.service.settings import ServiceSettings
from occlureid.service.tokens import TokenFile

__all__ = ["Server", "check_address", "serve"]

_LOG = logging.getLogger(__name__)
_LOOK = 0.05


def check_address(host: str, tokens: Path | None) -> bool:
    """Whether an address is this machine's own.

    Raises:
        UsageError: it is not, and there are no tokens.
    """
    local = host in LOOPBACK
    if not local and tokens is None:
        raise UsageError(
            f"{host} can be reached from other machines: give --tokens FILE (make one with "
            '"occlureid tokens add --role admin --name NAME FILE"), or listen on 127.0.0.1'
        )
    return local


class Server(uvicorn.Server):
    """Ends when everything that was accepted is done.

    At the first SIGTERM or SIGINT new requests are answered with 503 while those under way and all jobs go on; at the second
    the process is ended by it.

    Args:
        config: of uvicorn.
        engine: what to wait for.
    """

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does; called between two instructions of the main thread."""
        if self._engine.activity.stopping:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)  # galleries bear it: what was acknowledged is on disk
            return
        self._engine.activity.stopping = True
        Thread(target=self._wait, name="occlureid-stop", daemon=True).start()

    def _wait(self) -> None:
        while not self._engine.idle and not self.should_exit:
            time.sleep(_LOOK)
        self.should_exit = True


def serve(
    folder: Path,
    describer: Describer,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    tokens: Path | None = None,
    allow_hosts: Sequence[str] = (),
    settings: ServiceSettings | None = None,
) -> None:
    """Serves galleries until a signal ends it.

    Args:
        folder: each sub-folder is a gallery; made if it is not there.
        describer: describes uploads; with networks for the cues that its method needs.
        host: the address to listen on.
        port: 0 for any that is free.
        tokens: who may come in; needed unless ``host`` is loopback.
        allow_hosts: further names that the Host header may have on loopback, such as that of a proxy in front.
        settings: the bounds.

    Raises:
        UsageError: the address can be reached from other machines, and there are no tokens.
        DataError: folder or tokens cannot be used.
        MissingCueError: the method needs cues to describe, and nothing computes them.
    """
    local = check_address(host, tokens)
    settings = settings or ServiceSettings()
    known = None if tokens is None else TokenFile(tokens)
    batched = BatchedDescriber(describer, settings)
    engine = Engine(folder, batched, settings, tokens=known, hosts=(*LOOPBACK, *allow_hosts) if local else None)
    config = uvicorn.Config(
        create_app(engine),
        host=host,
        port=port,
        access_log=False,  # its lines would hold the ids of items
        server_header=False,
        ws="none",
        log_level="info",
        limit_concurrency=1000,
    )
    Server(config, engine).run()
