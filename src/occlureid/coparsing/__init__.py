"""Co-parsing: part labels for all images of one person at once, without anybody's labels.

    for parsing in coparse(persons, CoparseSettings(), seed=0, device="cpu", memory=2**30): ...

HCGA's HCNet trains a small decoder for each person on frozen features; the decoders of many persons train as one batch.
``cluster_parts`` is ISP's clustering with the same result, ``score_parsing`` compares with the truth.
"""

from occlureid.coparsing.isp import cluster_parts
from occlureid.coparsing.persons import PersonImages, PersonParsing
from occlureid.coparsing.scores import ParsingScores, score_parsing
from occlureid.coparsing.settings import ClusterSettings, CoparseSettings, PartSettings
from occlureid.coparsing.stream import MEMORY, coparse

__all__ = [
    "MEMORY",
    "ClusterSettings",
    "CoparseSettings",
    "ParsingScores",
    "PartSettings",
    "PersonImages",
    "PersonParsing",
    "cluster_parts",
    "coparse",
    "score_parsing",
]
