"""The weights that come with the package: what there is, what each is good for, and the models themselves.

Looking at what there is loads no model and no torch; ``load`` does.
"""

from occlureid.zoo.catalogue import default_name, load, model_names, read_card, read_record, weights_path
from occlureid.zoo.record import ModelRecord

__all__ = ["ModelRecord", "default_name", "load", "model_names", "read_card", "read_record", "weights_path"]
