"""Ids of persons, cameras and items: one check of the text that names somebody, wherever it enters."""

from __future__ import annotations

import unicodedata

from occlureid.errors import DataError

__all__ = ["check_id"]

# Cc control, Cf format (bidirectional controls, zero-width spaces and joiners, byte order marks, soft hyphens), Cs lone
# surrogates (cannot be written as UTF-8), Zl and Zp line ends.
_REFUSED = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Letters and marks by their category, but nothing is drawn for them: the grapheme joiner and the fillers.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


def check_id(name: str, value: str) -> None:
    """Refuse an id that does not read as it is stored.

    Bidirectional controls show letters in another order, and other control, format and filler characters show nothing at all: two
    ids would look alike, and who searches or erases by what is on the screen would find nobody. Zero-width joiners are
    refused with them. Accents, scripts, blanks inside, and variation selectors are left as they are; nothing is folded.

    Args:
        name: what the id is of ("person"), for the message.
        value: the id.

    Raises:
        DataError: the id has such a character; it is named by its code point.
    """
    if value.isascii() and value.isprintable():
        return
    for place, letter in enumerate(value, start=1):
        if unicodedata.category(letter) in _REFUSED or letter in _BLANK:
            kind = unicodedata.name(letter, "control character").lower()
            raise DataError(
                f"{name} must not hold control characters or line ends, nor invisible characters, got {value[:60]!a}: "
                f"character {place} is U+{ord(letter):04X}, {kind}; write the id without it"
            )
