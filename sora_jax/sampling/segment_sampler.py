"""Sample segments in order: footage passes unchanged, all others are sampled."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from sora_jax import sharding
from sora_jax.sampling.blocks import sample_blocks
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.segments import FollowUp, Sampled, Segment
from sora_jax.sampling.tiled_sampler import sample_tiled
from sora_jax.sampling.window_sampler import Progress
from sora_jax.sampling.windows import Frames, sample_request
from sora_jax.weights.model_weights import Weights


class SegmentSampler:
    """Samples segments; encodes their prompts once."""

    def __init__(self, weights: Weights, progress: Progress):
        self.weights, self.progress = weights, progress
        self.prompt_cache, self.numbers = PromptCache(weights), itertools.count()

    def sample(self, segments: Sequence[Segment]) -> Iterator[Frames]:
        """Yield the frames of segments in order, chunk by chunk."""
        several = sum(not isinstance(one, np.ndarray) for one in segments) > 1
        numbers = range(len(segments))
        for number in self.progress(numbers, "part") if several else numbers:
            segment = segments[number]
            if isinstance(segment, Sampled):
                yield from self.shown(segment)
            elif isinstance(segment, FollowUp):
                chunks = list(self.shown(segment.sampled))
                with sharding.fail_together():  # as when building a task
                    following = segment.segments(np.concatenate(chunks, axis=1)[0])
                yield from self.sample(following)
            elif len(segment):
                yield segment[None]

    def shown(self, segment: Sampled) -> Iterator[Frames]:
        """Sample a segment and yield the frames that are part of the video."""
        request = dataclasses.replace(segment.request, part=next(self.numbers))
        at, is_causal = 0, self.weights.config.causal is not None
        sample = sample_blocks if is_causal else sample_request
        sample = sample if request.tile is None else sample_tiled
        for chunk in sample(self.weights, self.prompt_cache, request, self.progress):
            first, last = max(segment.start - at, 0), segment.stop - at
            at += chunk.shape[1]
            if first < min(last, chunk.shape[1]):
                yield chunk[:, first:last]
