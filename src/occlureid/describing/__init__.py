"""Pictures of people to Descriptors: the one way that the library, the commands, the gallery and the service share."""

from occlureid.describing.describer import Describer, DescriptorShape, Prepared, arithmetic_of
from occlureid.describing.pictures import Picture, to_picture

__all__ = ["Describer", "DescriptorShape", "Picture", "Prepared", "arithmetic_of", "to_picture"]
