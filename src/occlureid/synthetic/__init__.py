"""A rendered world of pedestrians behind obstacles, in which landmarks, parts and visibility are known exactly.

from occlureid.synthetic import World, WorldSettings, write_world

shot = World(WorldSettings(seed=7)).render("query", [0, 1, 2])
write_world(WorldSettings(seed=7), "data/world")
"""

from occlureid.synthetic.contact_sheet import contact_sheet
from occlureid.synthetic.rendered import Rendered
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.truth_sheet import truth_sheet
from occlureid.synthetic.world import World
from occlureid.synthetic.writer import write_world

__all__ = ["Rendered", "World", "WorldSettings", "contact_sheet", "truth_sheet", "write_world"]
