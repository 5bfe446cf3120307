"""Open the clip source of a config."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool

from sora_jax.config import PlaygroundConfig
from sora_jax.data.sources.protocol import ClipSpec, Sources
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.source import Playground


def open_sources(data: PlaygroundConfig, held_out: int) -> Sources:
    """Open the clips of a run.

    Args:
      data: config of the training clips.
      held_out: number of clips of the test split.
    """
    test = dataclasses.replace(data, split="test", length=held_out)
    return Sources(
        train=Playground(data), held_out=Playground(test), subjects=_object_boxes
    )


def _object_boxes(spec: ClipSpec) -> Bool[np.ndarray, "t h w"]:
    return object_boxes(spec.truth.scene)
