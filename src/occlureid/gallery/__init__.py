"""Keeps described crops, and finds the people in them: a store on disk, and an exact search by the matching rule itself."""

from occlureid.gallery.approximate import ApproximateSearcher
from occlureid.gallery.crops import join_crops
from occlureid.gallery.hits import Hit, PartReason, Reason, SearchResult, merge_results
from occlureid.gallery.layout import Block
from occlureid.gallery.openset import Calibration
from occlureid.gallery.reading import Changes, GalleryStats
from occlureid.gallery.records import Columns, Filter, Item
from occlureid.gallery.recovery import recover
from occlureid.gallery.retention import Expiry
from occlureid.gallery.search import Searcher
from occlureid.gallery.source import MemorySource
from occlureid.gallery.store import AddResult, Gallery
from occlureid.gallery.thresholds import calibrate
from occlureid.gallery.verification import Verification

__all__ = [
    "AddResult",
    "ApproximateSearcher",
    "Block",
    "Calibration",
    "Changes",
    "Columns",
    "Expiry",
    "Filter",
    "Gallery",
    "GalleryStats",
    "Hit",
    "Item",
    "MemorySource",
    "PartReason",
    "Reason",
    "SearchResult",
    "Searcher",
    "Verification",
    "calibrate",
    "join_crops",
    "merge_results",
    "recover",
]
