"""The threshold of a gallery that is in use: its file may come, change, be damaged and go while the service runs."""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from occlureid.errors import DataError, OcclureidError
from occlureid.gallery.openset import Calibration
from occlureid.matching import MatchRule
from occlureid.service.problems import said

__all__ = ["CalibrationFile", "CalibrationState"]

_LOG = logging.getLogger(__name__)
_MOST = 2**20
"""Bytes of a file that could be a calibration; real ones have a few thousand."""
_LONGEST = 500

_Stamp = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """What a file says at one moment.

    Attributes:
        calibration: the threshold; None without one that can be used.
        problem: why the file cannot be used, without any path; None if it can, or if there is none.
    """

    calibration: Calibration | None = None
    problem: str | None = None


class CalibrationFile:
    """The threshold of one gallery; read again whenever the file changes.

    A file that is damaged, or made for other weights or another rule, is no error: hits then get no verdict, the
    log says so once, and ``current`` says why.

    Args:
        path: the file; need not be there.
        fingerprint: of the gallery's model.
        rule: of the gallery.
    """

    def __init__(self, path: Path, fingerprint: str, rule: MatchRule) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._rule = rule
        self._lock = Lock()
        self._stamp: _Stamp = None
        self._state = CalibrationState()

    def current(self) -> CalibrationState:
        """What the file says now."""
        with self._lock:
            stamp = self._look()  # before it is read: what changes meanwhile is seen the next time
            if stamp != self._stamp:
                self._state = CalibrationState() if stamp is None else self._read()
                self._stamp = stamp
            return self._state

    def _look(self) -> _Stamp:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return (error.errno or 0,)
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _read(self) -> CalibrationState:
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST:
                raise DataError(f"{self._path}: expected a file of at most {_MOST} bytes")
            found = Calibration.load(self._path)
            found.check(self._fingerprint, self._rule)
        except (OcclureidError, OSError, ValueError, ArithmeticError) as error:  # a number may be too large for a float
            _LOG.error("hits get no verdict: %s: %s", self._path, error)
            return CalibrationState(problem=f"the calibration cannot be used: {said(error)}"[:_LONGEST])
        return CalibrationState(found)
