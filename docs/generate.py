"""Writes the generated tables into README.md; with --check, only says whether they are current."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from occlureid.cli import methods_table
from occlureid.data import LAYOUTS

README = Path(__file__).parent.parent / "README.md"


def datasets_table() -> str:
    """Layouts with what they look like and the counts that their authors published."""

    def cell(images: int | None, persons: int | None) -> str:
        return f"{images:,} / {persons:,}" if images is not None and persons is not None else "any"

    lines = ["| layout | what it is | train images / persons | query | gallery |", "| --- | --- | --- | --- | --- |"]
    for name, layout in LAYOUTS.items():
        e = layout.expected
        cells = (
            ["any"] * 3
            if e is None
            else [
                cell(e.train_images, e.train_persons),
                cell(e.query_images, e.query_persons),
                cell(e.gallery_images, e.gallery_persons),
            ]
        )
        lines.append(f"| `{name}` | {layout.description} | {' | '.join(cells)} |")
    return "\n".join(lines)


def generated(text: str) -> str:
    """The page with its marked blocks filled in."""
    for name, table in (("methods", methods_table(markdown=True)), ("datasets", datasets_table())):
        pattern = rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, table=table: f"{m[1]}{table}\n{m[2]}", text, count=1, flags=re.S)
    return text


def main() -> int:
    """Returns 1 where --check finds an old table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    old = README.read_text(encoding="utf-8")
    new = generated(old)
    if parser.parse_args().check:
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
