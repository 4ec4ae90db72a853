"""The one way into every route: who asks, from where, may they, and is what they send small enough.

All this is decided before a byte of the body is read. A route without a role cannot be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from occlureid.errors import UsageError
from occlureid.service.problems import PROBLEMS, refuse
from occlureid.service.settings import ServiceSettings
from occlureid.service.tokens import ROLES, Caller, TokenFile, allows

__all__ = ["LOOPBACK", "Body", "Gate", "RouteRole", "caller_of", "guarded_routes", "needs"]

RouteRole = Literal["anyone", "search", "add", "admin"]
Body = Literal["json", "descriptor", "images"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Host names that mean this machine, to a browser too."""

_CHUNK = 2**18


def needs(role: RouteRole, body: Body = "json", **more: Any) -> dict[str, Any]:
    """The keywords of a route: who may use it, and what kind of body it takes; into its OpenAPI description too."""
    extra: dict[str, Any] = {"x-role": role, "x-body": body, **more}
    if role != "anyone":
        extra["security"] = [{"token": []}]
    return {"openapi_extra": extra, "responses": PROBLEMS}


def caller_of(request: Request) -> Caller:
    """Who asks; a dependency of routes."""
    caller: Caller = request.state.caller
    return caller


class Gate:
    """Decides on requests.

    Args:
        settings: the bounds.
        tokens: who may come in; None lets everybody in as ``local``, with all rights: for loopback only.
        hosts: what the Host header may name; None for anything. On loopback it keeps web sites from reaching the service
            by a name of theirs that resolves to this machine.
    """

    def __init__(self, settings: ServiceSettings, tokens: TokenFile | None, hosts: Iterable[str] | None) -> None:
        self._settings = settings
        self._tokens = tokens
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._pending = 0

    # -- who -----------------------------------------------------------------------------------------------------------

    def admit(self, request: Request, role: RouteRole) -> Caller:
        """Who asks.

        Raises:
            HTTPException: 400 for another Host, 401 without a token, 403 for a role too low or a foreign site.
        """
        self._check_site(request)
        if role == "anyone":
            return Caller("anyone", "search")
        if self._tokens is None:
            return Caller("local", ROLES[-1])
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = self._tokens.find(token.strip()) if scheme.lower() == "bearer" and token else None
        if caller is None:
            raise refuse(
                401, 'expected a valid token in the header "Authorization: Bearer ..."', {"WWW-Authenticate": "Bearer"}
            )
        if not allows(caller.role, role):
            raise refuse(403, f"this needs a token with the role {role}; {caller.name} has the role {caller.role}")
        return caller

    def _check_site(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            raise refuse(400, f"the header Host must name one of {', '.join(sorted(self._hosts))}")
        if self._tokens is not None:
            return  # another site's page does not have the token
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise refuse(403, "requests of other sites are refused: the header Origin must name this service")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise refuse(403, "requests of other sites are refused")

    # -- how much ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def received(self, request: Request, body: Body) -> AsyncIterator[bytes]:
        """The body, whole; counts as pending until the block ends.

        Raises:
            HTTPException: 400 for a wrong length, 408 if it is slow, 413 if it is large, 503 if others fill the memory.
        """
        most = self._settings.request_bytes if body == "images" else self._settings.json_bytes
        if body == "descriptor":
            most = max(most, self._settings.request_bytes // 4)
        length = _length(request)
        if length is not None and length > most:
            raise refuse(413, f"expected at most {most} bytes, got {length}")
        reserved = most if length is None else length
        if self._pending + reserved > self._settings.pending_bytes:
            raise refuse(503, "too much is being received at this moment; try again")
        self._pending += reserved
        try:
            yield await self._read(request, most)
        finally:
            self._pending -= reserved

    async def _read(self, request: Request, most: int) -> bytes:
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self._settings.receive_seconds):
                async for piece in request.stream():
                    size += len(piece)
                    if size > most:
                        raise refuse(413, f"expected at most {most} bytes, got more")
                    pieces.append(piece)
        except TimeoutError:
            raise refuse(408, f"the request did not arrive within {self._settings.receive_seconds:g} s") from None
        except ClientDisconnect:
            raise refuse(400, "the request ended early") from None
        return b"".join(pieces)


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise refuse(400, "the header Content-Length must be a number of bytes")
    return int(text)


def _replay(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    """A body that is here already, as a server hands it to an application."""
    starts = iter(range(0, len(body), _CHUNK) if body else [0])

    async def receive() -> Message:
        start = next(starts, None)
        if start is None:
            return {"type": "http.disconnect"}
        end = start + _CHUNK
        return {"type": "http.request", "body": body[start:end], "more_body": end < len(body)}

    return receive


def guarded_routes(gate: Gate) -> type[APIRoute]:
    """The class of all routes of an application.

    Raises:
        UsageError: when a route is made that does not say who may use it.
    """

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            extra = self.openapi_extra or {}
            role, body = extra.get("x-role"), extra.get("x-body")
            if role not in ("anyone", *ROLES) or body not in ("json", "descriptor", "images"):
                raise UsageError(
                    f"route {self.path} must say who may use it and what it takes, got {role!r} and {body!r}"
                )
            answer = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                request.state.caller = gate.admit(request, role)
                async with gate.received(request, body) as content:
                    return await answer(Request(request.scope, _replay(content)))

            return guarded

    return GuardedRoute
