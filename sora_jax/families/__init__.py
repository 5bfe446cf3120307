"""Model families, one folder each. A new one is added to this list alone."""

from sora_jax.families.family import Family
from sora_jax.families.ours import OURS
from sora_jax.families.wan.family import WAN

FAMILIES = (OURS, WAN)

__all__ = ["FAMILIES", "Family", "OURS", "WAN"]
