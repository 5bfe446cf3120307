"""The latents before the first chunk, of what a video goes on from, and later ones."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jaxtyping import Float

from sora_jax.config import ChunksConfig, ModelConfig
from sora_jax.sampling import codec, denoising
from sora_jax.sampling.request import Request
from sora_jax.weights.model_weights import Weights

Latents = Float[np.ndarray, "b _ h w z"]
# Its draws are apart from those of every chunk.
WINDOW, LEVELS = denoising.MOST_WINDOWS - 1, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Past:
    """Latents before a chunk.

    Attributes:
      first: the first frame of the video, zeros until it is known.
      recent: the last frames, zeros before the beginning.
      is_begun: whether the first frame is known.
    """

    first: Latents
    recent: Latents
    is_begun: bool

    def latents(self, chunks: ChunksConfig) -> Latents:
        """Return the frames that the history of a chunk is made of."""
        parts = [self.first] if chunks.keeps_first else []
        return np.concatenate([*parts, self.recent], axis=1)

    def followed_by(self, latents: Latents) -> Past:
        """Return the latents before the next chunk."""
        recent = np.concatenate([self.recent, latents], axis=1)
        return Past(
            first=self.first if self.is_begun else latents[:, :1],
            recent=recent[:, latents.shape[1] :],
            is_begun=True,
        )


def past_of(weights: Weights, request: Request) -> Past:
    """Return the latents before the first chunk of a request."""
    model, videos = weights.config, len(request.prompts)
    assert model.chunks is not None
    cells = request.latent_shape(model)[1:]
    recent = np.zeros((videos, model.chunks.history, *cells), np.float32)
    if request.history is None:
        return Past(first=recent[:, :1], recent=recent, is_begun=False)
    first, given = encode_history(weights, request.history)
    given = given[-model.chunks.history :]
    recent[:, len(recent[0]) - len(given) :] = noised(request, model, given, 1)
    return Past(first=noised(request, model, first, 0), recent=recent, is_begun=True)


def encode_history(
    weights: Weights, clip: Float[np.ndarray, "t h w 3"]
) -> tuple[Float[np.ndarray, "1 h2 w2 z"], Float[np.ndarray, "t2 h2 w2 z"]]:
    """Encode the first frame of a clip, and its last frames chunk by chunk.

    A picture counts as a still clip, of which the history has the last latent frame.
    """
    model = weights.config
    assert model.chunks is not None
    factor = model.vae.time_factor
    size = model.chunks.pixel_frames(factor)

    def encode(frames: Float[np.ndarray, "t h w 3"]) -> np.ndarray:
        return np.asarray(codec.encode(weights.vae, frames[None], weights.mesh_plan))[0]

    first = encode(clip[:1])
    if len(clip) == 1:
        return first, encode(np.repeat(clip, size, axis=0))[-1:]
    if len(clip) < size:  # as many whole latents as there are
        return first, encode(clip[(len(clip) - 1) % factor :])
    count = min(len(clip) // size, -(-model.chunks.history // model.chunks.frames))
    pieces = clip[len(clip) - count * size :].reshape(count, size, *clip.shape[1:])
    return first, np.concatenate([encode(piece) for piece in pieces])


def noised(
    request: Request,
    model: ModelConfig,
    latents: Float[np.ndarray, "t h w z"],
    draw: int,
) -> Latents:
    """Add a little noise to given latents, as the model was trained to read them."""
    assert model.chunks is not None
    low, high = model.chunks.noise
    noise = np.asarray(denoising.draw_noise(request, WINDOW, latents.shape, draw))
    keys = denoising.keys_of(request, WINDOW, LEVELS + draw)
    shares = np.stack(
        [np.asarray(jax.random.uniform(k, (len(latents),))) for k in keys]
    )
    levels = (low + (high - low) * shares)[..., None, None, None]
    return (levels * noise + (1 - levels) * latents[None]).astype(np.float32)
