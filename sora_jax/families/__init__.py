"""Model families, one folder each. Add a new one to this list."""

from sora_jax.families.family import Family
from sora_jax.families.ours import OURS
from sora_jax.families.wan.family import WAN

FAMILIES = (OURS, WAN)

__all__ = ["FAMILIES", "Family", "OURS", "WAN"]
