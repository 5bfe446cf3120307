"""A model that checks what it is asked for as any does, and answers in grey."""

import numpy as np

from sora_jax.sampling.model import Model
from sora_jax.sampling.segments import Canvas, Then, check_parts


class Grey(Model):
    """Checks all that is asked for as a model does, and answers in grey."""

    def perform(self, parts, progress):
        check_parts(parts, self.config, self.limits)
        return shown(parts)


def shown(parts):
    for part in parts:
        if isinstance(part, np.ndarray):
            yield part[None]
            continue
        canvas = part.canvas if isinstance(part, Then) else part
        request, frames = canvas.request, canvas.stop - canvas.start
        grey = np.zeros((len(request.prompts), frames, *request.settings.size, 3))
        grey = grey.astype(np.float32)
        if isinstance(part, Canvas):
            yield grey
        else:
            yield from shown(part.parts(grey[0]))
