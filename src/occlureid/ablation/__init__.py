"""The rows of ablation tables on one dataset: trained, described and scored once each, and set beside what the papers print."""

from occlureid.ablation.plan import Plan, Training, plan
from occlureid.ablation.run import Ablation, ablate
from occlureid.ablation.shard import Shard
from occlureid.ablation.table import table

__all__ = ["Ablation", "Plan", "Shard", "Training", "ablate", "plan", "table"]
