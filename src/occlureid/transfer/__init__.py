"""Recipes trained on each of several datasets and scored on others: the cross-domain matrix."""

from occlureid.transfer.run import Transfer, transfer
from occlureid.transfer.sets import open_sets
from occlureid.transfer.table import matrix

__all__ = ["Transfer", "matrix", "open_sets", "transfer"]
