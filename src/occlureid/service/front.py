"""What every request passes first and every answer last: headers, numbers, and the door that closes when the service stops."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from occlureid.service.metrics import Metrics
from occlureid.service.problems import problem

__all__ = ["Activity", "Front"]

_LOG = logging.getLogger(__name__)

_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_ALWAYS = frozenset({"/api/health"})


class Activity:
    """Whether the service stops, and how many requests are under way."""

    def __init__(self) -> None:
        self.stopping = False
        self.under_way = 0


class Front:
    """The outermost part of the application.

    Args:
        app: the rest.
        metrics: counts the requests.
        activity: is kept up to date; while ``stopping``, new requests are turned away with 503.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, activity: Activity) -> None:
        self._app = app
        self._metrics = metrics
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if self._activity.stopping:
                    headers["Connection"] = "close"
            await send(message)

        self._activity.under_way += 1
        try:
            if self._activity.stopping and scope["path"] not in _ALWAYS:
                await problem(503, "the service stops")(scope, receive, sending)
            else:
                await self._app(scope, receive, sending)
        except Exception as error:  # nothing of it may be shown, and the connection is to end in an answer
            _LOG.error("a request failed", exc_info=error)
            if status == 0:
                await problem(500, "this could not be done; the server's log says why")(scope, receive, sending)
        finally:
            self._activity.under_way -= 1
            self._metrics.request(_route(scope), scope["method"], status, time.perf_counter() - begun)


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")
