"""Work on as many machines as there are, by Ray: searching the shards of one gallery, and describing millions of crops.

Every machine of the cluster needs this package, and sees the gallery, the images and the output below the same paths (a shared
folder or an object store). Extra ``ray``.
"""

from occlureid.scaleout.describing import describe_on_ray
from occlureid.scaleout.searcher import Coverage, RaySearcher

__all__ = ["Coverage", "RaySearcher", "describe_on_ray"]
