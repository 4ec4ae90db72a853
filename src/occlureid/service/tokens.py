"""Who may do what: a file of tokens, of which only digests are kept.

A token is 256 random bits, so that a plain SHA-256 of it cannot be turned back by guessing, and none is ever chosen by a person.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from occlureid.errors import DataError, UsageError

__all__ = ["ROLES", "Caller", "TokenFile", "TokenRecord", "add_token", "allows", "read_tokens", "remove_token"]

ROLES = ("search", "add", "admin")
"""Each may do what those before it may."""

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def allows(role: str, needed: str) -> bool:
    """Whether a role may do what needs another."""
    return ROLES.index(role) >= ROLES.index(needed)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of a token, and its role."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token as the file keeps it.

    Attributes:
        name: whose it is; also in audit logs.
        role: one of ``ROLES``.
        sha256: 64 hexadecimal digits.
        created: ISO date and time.
    """

    name: str
    role: str
    sha256: str
    created: str

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) for value in asdict(self).values()):
            raise DataError(f"a token record holds texts only, got {asdict(self)}"[:300])
        if not _NAME.fullmatch(self.name) or self.role not in ROLES or not _DIGEST.fullmatch(self.sha256):
            raise DataError(
                f"a token has a name of 1 to 64 letters, digits and ._@-, a role of {', '.join(ROLES)}, and a SHA-256; "
                f"got name {self.name!r} and role {self.role!r}"[:400]
            )


def read_tokens(path: Path) -> list[TokenRecord]:
    """The tokens of a file.

    Raises:
        DataError: the file is missing, or is not a token file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["occlureid"] != "tokens":
            raise DataError(f"{path}: not a token file")
        records = [TokenRecord(**record) for record in content["tokens"]]
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error.strerror}); make it with "occlureid tokens add"') from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: not a token file ({error})") from error
    if len({record.name for record in records}) < len(records):
        raise DataError(f"{path}: two tokens have one name")
    return records


def add_token(path: Path, name: str, role: str) -> str:
    """Makes a token and adds it to a file, which is made if it is not there.

    Returns:
        The token; it cannot be had again.

    Raises:
        UsageError: the name is taken.
        DataError: name or role is not possible, or the file cannot be read or written.
    """
    records = read_tokens(path) if path.exists() else []
    if any(record.name == name for record in records):
        raise UsageError(f"{path}: there is a token of the name {name!r}; remove it first, or choose another name")
    token = secrets.token_urlsafe(32)
    made = TokenRecord(name, role, _digest(token), datetime.now(UTC).isoformat(timespec="seconds"))
    _write(path, [*records, made])
    return token


def remove_token(path: Path, name: str) -> None:
    """Takes a token out of a file; a running service notices at its next request.

    Raises:
        UsageError: there is none of this name.
        DataError: the file cannot be read or written.
    """
    records = read_tokens(path)
    left = [record for record in records if record.name != name]
    if len(left) == len(records):
        raise UsageError(
            f"{path}: no token has the name {name!r}; it has {', '.join(r.name for r in records) or 'none'}"
        )
    _write(path, left)


def _write(path: Path, records: list[TokenRecord]) -> None:
    content = json.dumps({"occlureid": "tokens", "tokens": [asdict(record) for record in records]}, indent=1) + "\n"
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class TokenFile:
    """The tokens of a running service; read again whenever the file changes, so that a removed token ends at once.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, or has no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._stamp = self._look()
        self._records = read_tokens(path)
        if not self._records:
            raise DataError(f'{path}: has no token; add one with "occlureid tokens add"')

    def find(self, token: str) -> Caller | None:
        """Whose token it is, None if nobody's. Every record is compared, in constant time."""
        digest, found = _digest(token), None
        for record in self._current():
            if hmac.compare_digest(record.sha256, digest):
                found = Caller(record.name, record.role)
        return found

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _current(self) -> list[TokenRecord]:
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                try:
                    self._records = read_tokens(self._path)
                except DataError as error:
                    _LOG.error("nobody is let in: %s", error)
                    self._records = []
                self._stamp = stamp
            return self._records
