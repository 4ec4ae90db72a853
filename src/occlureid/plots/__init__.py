"""Pictures of results: curves and bars as SVG text, ranked lists, drawn parts and contact sheets as Pillow images.

Pure functions: the same input gives the same bytes. The SVG needs nothing outside itself, follows the colours of the
page it stands in (``currentColor`` and the variables ``--run-0`` to ``--run-9``), and keeps its text as text.
"""

from occlureid.plots.charts import RUN_COLOURS, Bar, bars_svg, cmc_svg, lines_svg
from occlureid.plots.figures import draw_crop, draw_heat, draw_labels, draw_visibilities, legend
from occlureid.plots.matches import MatchLine, distance_scale, draw_matches
from occlureid.plots.pictures import RankedPicture, contact_sheet, draw_parts, ranked_list_image

__all__ = [
    "RUN_COLOURS",
    "Bar",
    "MatchLine",
    "RankedPicture",
    "bars_svg",
    "cmc_svg",
    "contact_sheet",
    "distance_scale",
    "draw_crop",
    "draw_heat",
    "draw_labels",
    "draw_matches",
    "draw_parts",
    "draw_visibilities",
    "legend",
    "lines_svg",
    "ranked_list_image",
]
