"""A world whose truth is known, and models that know it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sora_jax.diffusion import conditioning
from sora_jax.sampling import codec
from sora_jax.sampling.model import Model
from sora_jax.weights.model_weights import weights_in_memory
from tests.helpers.oracle import Oracle, window

PROMPT = "a red ball moves right"
FRAMES = 29


class World:
    """What the truth is, and models that know it."""

    def __init__(self, parts, clip):
        self.config, self.tokenizer, self.vae, self.text_encoder = parts
        self.clip = clip

    def latents(self, clip):
        """A clip's latents."""
        return codec.encode(self.vae, clip[None])[0]

    def seen(self, clip):
        """A clip through the VAE."""
        return codec.reconstruct(self.vae, clip[None])[0]

    def given(self, clip, mask):
        """A window with channels for a mask, as training encodes them."""
        shown = conditioning.grey_out(clip, mask)
        latents = np.asarray(encode_clip(self.vae, shown.pixels))
        factor = self.vae.config.time_factor
        return window(
            self.latents(clip),
            conditioning.conditioning_channels(mask, latents, factor),
        )

    def model(self, *windows, **changes):
        """A model whose transformer is an oracle of those windows."""
        config = dataclasses.replace(self.config, **changes)
        weights = weights_in_memory(
            config,
            self.tokenizer,
            vae=self.vae,
            dit=Oracle(windows),
            text_encoder=self.text_encoder,
        )
        return Model(weights)


@jax.jit
def encode_clip(vae, pixels):
    """As `training.encode` runs the VAE."""
    return vae.encode(jnp.asarray(pixels)[None])[0][0]


def frames_mask(frames, known):
    return conditioning.given_frames_mask(frames, 32, 32, known)


def assert_made(made, wanted):
    """Frames are what the VAE sees of the truth."""
    np.testing.assert_allclose(made, wanted, atol=2e-3)
