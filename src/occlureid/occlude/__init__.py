"""An occluded copy of a holistic dataset: rendered obstacles laid over real images, with what stays visible known.

``occlude(dataset, out)`` is what ``occlureid occlude`` calls. The copy has every image under its own name, and beside them

- ``dataset.csv``: person, camera, split, and for the occluded images the visible fraction and the kind of obstacle;
- ``truth.jsonl``, where the dataset is in Market-1501's layout: the same, so that the folder itself can be opened;
- ``pose`` and ``parts``, where the dataset has them: landmarks and labels below an obstacle are taken out;
- ``occlusion.json``: what was asked for and how it was measured.

The visible fraction is the share of the person's own pixels that no obstacle covers, by the dataset's part labels where an image
has them ("mask"), else by a fixed figure in the middle of the image ("prior", ``data.paste.body_prior``), which knows nothing
of where the person stands: then it is an estimate. An image that was known to be partly hidden before keeps that factor.
"""

from occlureid.occlude.run import Occluded, occlude

__all__ = ["Occluded", "occlude"]
