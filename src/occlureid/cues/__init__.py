"""Cues: what tells a method which pixels are the visible person, read from files, computed by providers, or exact."""

from occlureid.cues.build import build_parsing, build_pose
from occlureid.cues.cache import CueCache
from occlureid.cues.degraded import Degraded
from occlureid.cues.exact import ExactCues
from occlureid.cues.groupings import GROUPINGS, LABEL_SETS, grouping_table
from occlureid.cues.heatmaps import gaussian_heatmaps, heatmap_peaks, read_heatmaps
from occlureid.cues.keypoints import People, choose_person
from occlureid.cues.overlay import draw_cues, overlay_sheet
from occlureid.cues.part_folder import PartFolder
from occlureid.cues.partmaps import PART_NAMES, part_map, read_part_labels
from occlureid.cues.placement import check_placement
from occlureid.cues.pose_files import read_pose, read_pose_list
from occlureid.cues.pose_folder import PoseCensus, PoseFolder
from occlureid.cues.providers import Provider, ProviderSource
from occlureid.cues.settings import CueSettings, Degradation
from occlureid.cues.sources import join_sources, sources_for
from occlureid.cues.summary import CueSummary
from occlureid.cues.transformers_models import TransformersParsing, TransformersPose

__all__ = [
    "GROUPINGS",
    "LABEL_SETS",
    "PART_NAMES",
    "CueCache",
    "CueSettings",
    "CueSummary",
    "Degradation",
    "Degraded",
    "ExactCues",
    "PartFolder",
    "People",
    "PoseCensus",
    "PoseFolder",
    "Provider",
    "ProviderSource",
    "TransformersParsing",
    "TransformersPose",
    "build_parsing",
    "build_pose",
    "check_placement",
    "choose_person",
    "draw_cues",
    "gaussian_heatmaps",
    "grouping_table",
    "heatmap_peaks",
    "join_sources",
    "overlay_sheet",
    "part_map",
    "read_heatmaps",
    "read_part_labels",
    "read_pose",
    "read_pose_list",
    "sources_for",
]
