"""The package's exceptions: each says what was expected, what came, where, and what to do.

This module imports nothing heavy, so that the command line can end with a clear message before torch is loaded.
``exit_code`` is what the command ends with: 2 for usage, 3 for bad data, 4 for a missing cue or weights.
"""


def reason(error: BaseException, longest: int = 200) -> str:
    """Message of an error of another library, in one line and without the name of its class.

    Args:
        error: the error.
        longest: the most characters.
    """
    text = " ".join(str(error).split())
    if isinstance(error, KeyError) and text:
        return f"{text[:longest]} is not there"
    return text[:longest] or "no reason was given"


class OcclureidError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1


class UsageError(OcclureidError):
    """A command or a call asked for something that does not exist or does not go together."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type, or out of range."""


class ShapeError(OcclureidError, ValueError):
    """A tensor has the wrong shape, type or device."""

    exit_code = 3


class DataError(OcclureidError):
    """A file or folder from outside is not what it should be."""

    exit_code = 3


class DamagedError(DataError):
    """Stored items are not what was acknowledged.

    Attributes:
        ids: of the items.
    """

    def __init__(self, message: str, ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.ids = ids

    def __reduce__(self) -> tuple[type["DamagedError"], tuple[str, tuple[str, ...]]]:
        """Another process gets the ids too."""
        return type(self), (str(self), self.ids)


class DiskFullError(DataError):
    """There is no space left to write what was to be written."""


class FingerprintError(DataError):
    """Descriptors of two different models were about to be compared."""


class MissingCueError(OcclureidError):
    """A method needs a cue that is not there."""

    exit_code = 4


class MissingWeightsError(OcclureidError):
    """Weights were asked for and cannot be found or fetched."""

    exit_code = 4


class BusyError(OcclureidError):
    """Another process is writing to the same place, and went on doing so for as long as this one was ready to wait; try again."""
