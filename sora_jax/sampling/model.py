"""The model as people use it: prompts in, videos out.

prompt -> text states -> keys and values, once; noise -> [DiT, solver step] x N ->
latents -> VAE decoder -> pixels. `denoising` and `codec` hold the compiled parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import SamplingConfig
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.data.pipeline import join
from sora_jax.diffusion import conditioning, solvers
from sora_jax.sampling import codec, denoising
from sora_jax.sampling.request import Request, check
from sora_jax.types import Batch, Condition
from sora_jax.weights import published
from sora_jax.workdir import PathLike

# Turns the steps into something that shows progress, such as tqdm.
Progress = Callable[[Sequence[int]], Iterable[int]]


class Model:
    """Weights that answer requests."""

    def __init__(self, weights: published.Weights):
        """Keep the weights; nothing is compiled before it is asked for."""
        self.weights = weights

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        condition: Condition | None = None,
        seed: int = 0,
        progress: Progress = iter,
        **settings: Any,
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Make videos.

        Args:
          prompts: what each video shows.
          condition: pixels that are known, the same for every video.
          seed: of the noise; the same seed gives the same videos.
          progress: wraps the steps, for instance `tqdm.tqdm`.
          **settings: fields of `SamplingConfig` that differ from the weights' own.

        Returns:
          Pixels in [-1, 1].

        Raises:
          ValueError: the model cannot make what is asked for; names every field.
        """
        chunks = self.stream(
            prompts, condition=condition, seed=seed, progress=progress, **settings
        )
        return np.concatenate(list(chunks), axis=1)

    def stream(
        self,
        prompts: str | Sequence[str],
        *,
        condition: Condition | None = None,
        seed: int = 0,
        progress: Progress = iter,
        **settings: Any,
    ) -> Iterator[Float[np.ndarray, "b t h w 3"]]:
        """Make videos and yield their frames in order, chunk by chunk."""
        request = Request(
            prompts=(prompts,) if isinstance(prompts, str) else tuple(prompts),
            settings=dataclasses.replace(self.weights.defaults, **settings),
            seed=seed,
        )
        check(request, self.weights.vae.config, self.weights.dit.config, condition)
        latents = self.denoise(request, condition, progress)
        return codec.decode(self.weights.vae, latents)

    def reconstruct(
        self, pixels: Float[np.ndarray, "b t h w 3"]
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Pass clips through the VAE."""
        return codec.reconstruct(self.weights.vae, pixels)

    def denoise(
        self, request: Request, condition: Condition | None, progress: Progress
    ) -> Float[Array, "b t h w z"]:
        """Make the latents of a request."""
        settings, weights = request.settings, self.weights
        grid = latent_grid(settings, weights)
        is_guided = settings.guidance != 1
        batch = self.rows(request, condition, grid, is_guided)
        contexts = denoising.encode_text(weights, batch)
        table = solvers.make_table(settings.solver, settings.steps, settings.shift)
        stack = solvers.begin(
            denoising.initial_noise(request, batch.tokens, is_guided), table
        )
        graphdef, params = nnx.split(weights.dit)
        memory = denoising.remember(graphdef, params, contexts)
        for i in progress(range(len(table.sigmas))):
            stack = denoising.denoise_step(
                graphdef,
                params,
                stack,
                batch.tokens,
                contexts,
                memory,
                jnp.float32(table.times[i]),
                jnp.asarray(table.matrices[i], jnp.float32),
                jnp.float32(settings.guidance),
                is_guided=is_guided,
            )
            jax.block_until_ready(stack)
        patch = weights.dit.config.patch
        return jnp.stack([unpatchify(row, grid, patch) for row in stack[0]])

    def rows(
        self,
        request: Request,
        condition: Condition | None,
        grid: tuple[int, int, int],
        is_guided: bool,
    ) -> Batch:
        """One row for each video, then, with guidance, one for each without prompt."""
        weights, settings = self.weights, request.settings
        config, pad_to = weights.dit.config, weights.text_encoder.config.pad_to
        count = int(np.prod(grid))
        extra = np.zeros((count, config.extra_features), np.float32)
        if condition is not None:
            extra = patchify(self.known(condition), config.patch)
        prompts = list(request.prompts)
        if is_guided:
            prompts += [settings.negative_prompt] * len(prompts)
        rows = [
            pack_row(
                [
                    Sample(
                        x=np.zeros((count, config.patch_features), np.float32),
                        extra=np.asarray(extra, np.float32),
                        coords=coordinates(grid, rate=weights.fps / settings.fps),
                        clean=np.zeros(count, bool),
                        captions=weights.tokenizer.encode(prompt, pad_to)[None],
                        caption_ids=np.zeros(count, np.int32),
                    )
                ],
                count,
                1,
                pad_to,
            )
            for prompt in prompts
        ]
        return join(rows)

    def known(self, condition: Condition) -> Float[np.ndarray, "t h w q"]:
        """The conditioning channels of what is known."""
        vae = self.weights.vae
        mask = np.asarray(condition.mask, np.float32)
        # Grey where nothing is known, as in training, whatever the caller left there.
        shown = conditioning.hide(np.asarray(condition.pixels, np.float32), mask)
        latents = codec.encode(vae, shown.pixels[None])
        mask = conditioning.fold_mask(
            mask, vae.config.time_factor, vae.config.space_factor
        )
        return conditioning.channels(mask, np.asarray(latents[0]))


def load(folder: PathLike = published.ASSETS) -> Model:
    """Load a model; without a folder, the one that ships with the package."""
    return Model(published.load(folder))


def latent_grid(
    settings: SamplingConfig, weights: published.Weights
) -> tuple[int, int, int]:
    """Patches along (t, h, w) of a video of these settings."""
    vae, patch = weights.vae.config, weights.dit.config.patch
    height, width = settings.size
    return (
        1 + (settings.frames - 1) // vae.time_factor,
        height // vae.space_factor // patch[1],
        width // vae.space_factor // patch[2],
    )
