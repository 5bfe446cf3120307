"""Checkpoints: saved asynchronously, restored bit for bit."""

from sora_jax.checkpoint.checkpoints import Checkpoints, Restored, State
from sora_jax.checkpoint.steps import Steps

__all__ = ["Checkpoints", "Restored", "State", "Steps"]
