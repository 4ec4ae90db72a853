"""A human parser: trained on labelled pixels, judged on held-out images, and used as a provider of part maps."""

from occlureid.parsing.provider import ParserProvider
from occlureid.parsing.scores import ParserScores, score_parser
from occlureid.parsing.settings import ParserRunSettings, ParserSettings, small_parser
from occlureid.parsing.train import ParserResult, train_parser
from occlureid.parsing.weights import TrainedParser, load_parser, save_parser

__all__ = [
    "ParserProvider",
    "ParserResult",
    "ParserRunSettings",
    "ParserScores",
    "ParserSettings",
    "TrainedParser",
    "load_parser",
    "save_parser",
    "score_parser",
    "small_parser",
    "train_parser",
]
