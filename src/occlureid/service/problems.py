"""From errors to answers: the right status, a message that says what was expected, and nothing of the server's insides."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from occlureid.errors import (
    BusyError,
    DamagedError,
    DataError,
    DiskFullError,
    FingerprintError,
    OcclureidError,
    ShapeError,
    UsageError,
)

__all__ = ["PROBLEMS", "add_handlers", "explain_invalid", "problem", "refuse", "said"]

_LOG = logging.getLogger(__name__)
_LONGEST = 2000
_PATH = re.compile(r"(?:[a-z]+://|(?<![\w.]))/[^\s'\":;,()<>]+")
_STATUS: tuple[tuple[type[OcclureidError], int], ...] = (
    (BusyError, 503),
    (DiskFullError, 507),
    (DamagedError, 500),
    (FingerprintError, 409),
    (ShapeError, 422),
    (DataError, 422),
    (UsageError, 422),
)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, text in {
        400: "The request cannot be read.",
        401: "A token is needed.",
        403: "The token's role is too low, or the request came from another site.",
        404: "There is no such thing.",
        405: "The route has no such method.",
        408: "The request did not arrive in time.",
        409: "It does not fit what is there.",
        411: "The request does not say how long it is.",
        413: "The request is too large.",
        415: "The request is of another type.",
        422: "A value is not what was expected.",
        500: "Something on the server is damaged; its log says what.",
        503: "The service is busy or stops; try again.",
        507: "The disk is full; the message says how much to free.",
    }.items()
}
"""For the ``responses`` of every route."""


def said(error: Exception) -> str:
    """The message of an error of this package without any path of the server."""
    return _PATH.sub("(a path)", str(error))


def refuse(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HTTPException:
    """An exception to raise; becomes a Problem."""
    return HTTPException(status, detail, headers=headers)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that is not a success."""
    readable = detail.encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates cannot be sent
    shown = readable if len(readable) <= _LONGEST else readable[:_LONGEST] + "..."
    more = {"Retry-After": "2"} if status == 503 else {}
    return JSONResponse({"detail": shown}, status, headers={**more, **(headers or {})})


def explain_invalid(error: ValidationError | RequestValidationError, where: str = "") -> str:
    """What pydantic found, without repeating what came: that may be anything."""
    lines = []
    for found in error.errors()[:5]:
        place = ".".join(str(part)[:60] for part in (*([where] if where else []), *found["loc"]))
        lines.append(f"{place}: {found['msg']}" if place else str(found["msg"]))
    more = len(error.errors()) - 5
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def add_handlers(app: FastAPI) -> None:
    """Every expected error that comes out of a route becomes a Problem; ``front`` sees to the others."""

    @app.exception_handler(HTTPException)
    async def _refused(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, explain_invalid(error))

    @app.exception_handler(OcclureidError)
    async def _known(_: Request, error: OcclureidError) -> JSONResponse:
        for kind, status in _STATUS:
            if isinstance(error, kind):
                return problem(status, said(error))
        _LOG.error("a request failed", exc_info=error)
        return problem(500, "this could not be done; the server's log says why")
