"""Videos from text alone."""

from __future__ import annotations

import dataclasses

from sora_jax.sampling.segments import Sampled, Segment
from sora_jax.sampling.tasks.context import TaskContext
from sora_jax.sampling.tasks.guided import Guided
from sora_jax.sampling.tasks.task import Count, GivenPixels, Noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate(Guided):
    """Make a video from text.

    Attributes:
      frames: of the video, 1 (an image) or 1 + r k, with the VAE's time factor r.
      init_noise: initial latents [t, h, w, z], instead of the seed's noise.
      condition: given pixels, the same for every video.
    """

    name = "generate"
    counts = "all"
    prompt = "required"

    frames: Count | None = None
    init_noise: Noise | None = None
    condition: GivenPixels | None = None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Sample all frames."""
        frames = context.settings.frames
        frames = frames if self.frames is None else self.frames
        request = context.request(
            frames,
            condition=self.condition,
            guide=self.guide(context),
            noise=context.media.noise(self.init_noise),
        )
        return [Sampled(request=request, stop=frames)]
