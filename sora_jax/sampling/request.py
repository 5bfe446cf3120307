"""A request: what the model samples."""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.condition import Condition, Guide
from sora_jax.config import ModelConfig, SamplingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A request for videos of one shape.

    Attributes:
      prompts: one for each video.
      settings: shape, solver and guidance.
      condition: given pixels, the same for every video, which are returned unchanged.
        It may have fewer frames than the video.
      pictures: those of the given frames as they were before they were resized, for a
        model that reads them as a context too; by default the given frames.
      history: a clip or a picture that the frames go on from, for a model that makes
        videos chunk by chunk; it is not part of the video.
      guide: what the generated pixels follow, for a model with a control branch.
      fading: (strength, condition) pairs of keyframes with a strength below 1, the
        weakest first. Each holds for that first share of the steps, and includes all
        pixels given until then.
      source: pixels `[t h w 3]` that denoising starts from, part-way (SDEdit, Meng et
        al. 2021).
      strength: share of the steps that the source goes through: 0 returns its
        reconstruction, 1 ignores it.
      tile: (height, width) in pixels of the tiles in which the source is refined; by
        default frames are sampled whole.
      story: (frame, prompt) of stretches of time; before the first one, the video's
        own prompt applies.
      noise: initial latents `[b t h w z]`; drawn from the seed by default.
      seed: of the noise; the same seed gives the same videos.
      part: number of the segment in its video; each has its own noise.
    """

    settings: SamplingConfig
    prompts: tuple[str, ...] = ("",)
    condition: Condition | None = None
    pictures: tuple[np.ndarray, ...] = ()
    history: np.ndarray | None = None
    guide: Guide = Guide()
    fading: tuple[tuple[int | float, Condition], ...] = ()
    source: np.ndarray | None = None
    strength: int | float = 1.0
    tile: tuple[int, int] | None = None
    story: tuple[tuple[int, str], ...] = ()
    noise: np.ndarray | None = None
    seed: int = 0
    part: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        """All prompts of the request."""
        story = tuple(prompt for _, prompt in self.story)
        has_own = bool(self.story) and self.story[0][0] == 0
        return story if has_own else (*self.prompts, *story)

    def schedule(
        self, model: ModelConfig
    ) -> list[tuple[int | float, Condition | None]]:
        """Return (share of the steps in which it holds, condition) pairs.

        A control branch always reads one, if only that nothing is given.
        """
        always = self.condition is not None or model.conditioning == "control"
        lasting = [(1.0, self.condition)] if always else []
        return [*self.fading, *lasting]

    def latent_shape(self, model: ModelConfig) -> tuple[int, int, int, int]:
        """Return the shape (t, h, w, z) of a video's latents."""
        height, width = self.settings.size
        vae = model.vae
        frames = 1 + (self.settings.frames - 1) // vae.time_factor
        if model.chunks is not None:
            frames = self.chunk_count(model) * model.chunks.frames
        cells = height // vae.space_factor, width // vae.space_factor
        return (frames, *cells, vae.channels)

    def window(self, model: ModelConfig) -> int:
        """Return the frames sampled at once; a causal model goes on without windows."""
        if model.causal is not None:
            return self.settings.frames
        if model.chunks is not None:
            return model.chunks.pixel_frames(model.vae.time_factor)
        return min(self.settings.frames, self.settings.window or model.sampling.frames)

    def chunk_count(self, model: ModelConfig) -> int:
        """Return the chunks of the video, the last of which may be cut off."""
        return -(-self.settings.frames // self.window(model))
