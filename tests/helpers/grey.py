"""A model that checks what it is asked for as any does, and answers in grey."""

import numpy as np

from sora_jax.sampling.model import Model
from sora_jax.sampling.segments import FollowUp, Sampled


class Grey(Model):
    """Checks all that is asked for as a model does, and answers in grey."""

    def reword(self, segments):
        return segments

    def sample(self, segments, progress=None):
        del progress
        return shown(segments)


def shown(segments):
    for segment in segments:
        if isinstance(segment, np.ndarray):
            yield segment[None]
            continue
        sampled = segment.sampled if isinstance(segment, FollowUp) else segment
        request, frames = sampled.request, sampled.stop - sampled.start
        grey = np.zeros((len(request.prompts), frames, *request.settings.size, 3))
        grey = grey.astype(np.float32)
        if isinstance(segment, Sampled):
            yield grey
        else:
            yield from shown(segment.segments(grey[0]))
