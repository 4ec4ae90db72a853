"""Figures for a report: what a method sees, which places of two images it matches, and the part labels of a training by epoch."""

from occlureid.figures.labels import guidance_chart, guidance_figure, guidance_files, guidance_scores
from occlureid.figures.matched import match_figure
from occlureid.figures.seen import method_figures

__all__ = [
    "guidance_chart",
    "guidance_figure",
    "guidance_files",
    "guidance_scores",
    "match_figure",
    "method_figures",
]
