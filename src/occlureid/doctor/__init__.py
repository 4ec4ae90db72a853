"""The dataset doctor: is this folder what it should be, and what is to be done where it is not.

from occlureid.doctor import examine

print(examine("data/Market-1501").summary())
"""

from occlureid.doctor.examine import examine
from occlureid.doctor.findings import Examination, Finding

__all__ = ["Examination", "Finding", "examine"]
