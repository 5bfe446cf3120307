"""Model families, one folder each. Add a new one to this list."""

from sora_jax.families.family import Family
from sora_jax.families.helios.family import HELIOS
from sora_jax.families.ours import OURS
from sora_jax.families.wan.family import WAN

# The first whose layout recognizes a folder opens it: Wan's takes any pipeline's.
FAMILIES = (OURS, HELIOS, WAN)

__all__ = ["FAMILIES", "Family", "HELIOS", "OURS", "WAN"]
