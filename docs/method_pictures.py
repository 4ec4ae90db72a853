"""Draws GASM's Fig. 4 and HCGA's Fig. 9 and 10 into docs/images, from the runs of benchmarks/ablations.py.

    python docs/method_pictures.py --ablations runs/ablations

gasm_saliency.jpg: saliency, mask and summed pose of some queries; gasm_matches.jpg: lines between the best-matching places of a
query and gallery images; hcga_labels.jpg and hcga_isp_labels.jpg: the pseudo-labels of one person by epoch, of co-parsing and of
clustering; hcga_labels.svg: their overlap with the truth. They are what ``occlureid figures`` draws, stored small.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from occlureid import methods
from occlureid.data import ReidDataset, open_dataset
from occlureid.described import cue_source
from occlureid.figures import (
    guidance_chart,
    guidance_figure,
    guidance_files,
    guidance_scores,
    match_figure,
    method_figures,
)

IMAGES = Path(__file__).parent / "images"
LARGEST = 200_000
"""Bytes of a picture, at most."""


def store(sheet: Image.Image, path: Path) -> None:
    """Writes a picture as JPEG, as well as its bytes allow."""
    for width in (1400, 1200, 1000, 800):
        shrunk = sheet.convert("RGB")
        shrunk.thumbnail((width, sheet.height), Image.Resampling.LANCZOS)
        for quality in (88, 80, 72):
            content = io.BytesIO()
            shrunk.save(content, "JPEG", quality=quality, optimize=True)
            if content.tell() <= LARGEST:
                path.write_bytes(content.getvalue())
                return
    raise SystemExit(f"{path.name}: cannot be stored in {LARGEST:,} bytes; draw fewer images")


def gasm(dataset: ReidDataset, run: Path, out: Path) -> None:
    """Fig. 4, and the lines."""
    method = methods.restore(run / "weights.safetensors")
    source = cue_source(method, dataset, (*dataset.query, *dataset.gallery))
    store(method_figures(method, dataset.query, source, count=6, columns=3)["attention"], out / "gasm_saliency.jpg")
    matches = match_figure(method, dataset.query, dataset.gallery, source, count=4, columns=4, lines=10)
    if matches is not None:
        store(matches, out / "gasm_matches.jpg")


def labels(dataset: ReidDataset, run: Path, out: Path, name: str, person: str | None) -> None:
    """Fig. 9 and 10: labels by epoch."""
    sheet = guidance_figure(guidance_files(run), dataset.train, person=person, images=5, epochs=6)
    store(sheet, out / f"{name}.jpg")


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--ablations", type=Path, default=Path("runs/ablations"), help="folder of benchmarks/ablations.py"
    )
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--person", help="whose labels are drawn (default: the first)")
    options = parser.parse_args(arguments)
    dataset = open_dataset(options.ablations / "world")
    person = options.person or sorted({sample.person for sample in dataset.train})[0]
    gasm(dataset, options.ablations / "gasm" / "gasm", options.out)
    hcga = options.ablations / "hcga"
    labels(dataset, hcga / "hcga-table6-hcnet", options.out, "hcga_labels", person)
    labels(dataset, hcga / "hcga-table6-isp", options.out, "hcga_isp_labels", person)
    files = guidance_files(hcga / "hcga-table6-hcnet")
    chart = guidance_chart(guidance_scores(files, dataset.train, dataset.root))
    (options.out / "hcga_labels.svg").write_text(chart + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
