"""Cues: what tells a method which pixels are the visible person, read from files that other tools wrote."""

from occlureid.cues.heatmaps import gaussian_heatmaps
from occlureid.cues.keypoints import choose_person, read_pose, read_pose_list
from occlureid.cues.partmaps import PART_NAMES, part_map, read_part_labels
from occlureid.cues.sources import PartFolder, PoseCensus, PoseFolder, join_sources, sources_for

__all__ = [
    "PART_NAMES",
    "PartFolder",
    "PoseCensus",
    "PoseFolder",
    "choose_person",
    "gaussian_heatmaps",
    "join_sources",
    "part_map",
    "read_part_labels",
    "read_pose",
    "read_pose_list",
    "sources_for",
]
