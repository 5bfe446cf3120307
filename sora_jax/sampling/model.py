"""The model as people use it: prompts in, videos out.

prompt -> text states -> keys and values, once; noise -> [DiT, solver step] x N ->
latents -> VAE decoder -> pixels. `denoising` and `codec` hold the compiled parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from sora_jax.config import SamplingConfig
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.data.pipeline import join
from sora_jax.diffusion import conditioning, solvers
from sora_jax.sampling import codec, denoising, tiles
from sora_jax.sampling.request import Request, check
from sora_jax.types import Batch, Condition, Tokens
from sora_jax.weights import folders, published
from sora_jax.weights.parts import DIT_LOW, Weights
from sora_jax.workdir import PathLike

# Turns the steps into something that shows progress, such as tqdm.
Progress = Callable[[Sequence[int]], Iterable[int]]


class Model:
    """Weights that answer requests."""

    def __init__(self, weights: Weights):
        """Keep the weights; nothing is loaded or compiled before it is asked for."""
        self.weights = weights
        self.config = weights.config

    def __repr__(self) -> str:
        """Name the weights and what they make by default."""
        settings = self.config.sampling
        height, width = settings.size
        return (
            f"Model({self.config.name!r}, {settings.frames} frames of {width}x{height} "
            f"at {settings.fps:g} fps)"
        )

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        condition: Condition | None = None,
        noise: Float[np.ndarray, "b t2 h2 w2 z"] | None = None,
        seed: int = 0,
        progress: Progress = iter,
        **settings: Any,
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Make videos.

        Args:
          prompts: what each video shows.
          condition: pixels that are known, the same for every video.
          noise: latents to begin from, in the place of those that the seed gives.
          seed: of the noise; the same seed gives the same videos.
          progress: wraps the steps, for instance `tqdm.tqdm`.
          **settings: fields of `SamplingConfig` that differ from the weights' own.

        Returns:
          Pixels in [-1, 1].

        Raises:
          ValueError: the model cannot make what is asked for; names every field.
        """
        chunks = self.stream(
            prompts,
            condition=condition,
            noise=noise,
            seed=seed,
            progress=progress,
            **settings,
        )
        return np.concatenate(list(chunks), axis=1)

    def stream(
        self,
        prompts: str | Sequence[str],
        *,
        condition: Condition | None = None,
        noise: Float[np.ndarray, "b t2 h2 w2 z"] | None = None,
        seed: int = 0,
        progress: Progress = iter,
        **settings: Any,
    ) -> Iterator[Float[np.ndarray, "b t h w 3"]]:
        """Make videos and yield their frames in order, chunk by chunk."""
        request = Request(
            prompts=(prompts,) if isinstance(prompts, str) else tuple(prompts),
            settings=self.config.sampling.asked(**settings),
            condition=condition,
            noise=noise,
            seed=seed,
        )
        check(request, self.config)
        latents = self.denoise(request, progress)
        return self.decode(latents, request.settings)

    def decode(
        self, latents: Float[Array, "b t h w z"], settings: SamplingConfig
    ) -> Iterator[Float[np.ndarray, "b t2 h2 w2 3"]]:
        """Decode a video, whole frames or tiles of them, as memory allows."""
        vae = self.weights.parts["vae"]
        tile = settings.tile
        cells = tile and tile // self.config.vae.space_factor
        if tile is None:
            cells = tiles.choose(self.config.vae, settings.size)
        if not cells:
            return codec.decode(vae, latents)
        return tiles.decode(vae, latents, cells)

    def reconstruct(
        self, pixels: Float[np.ndarray, "b t h w 3"]
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Pass clips through the VAE."""
        return codec.reconstruct(self.weights.parts["vae"], pixels)

    def denoise(
        self, request: Request, progress: Progress
    ) -> Float[Array, "b t h w z"]:
        """Make the latents of a request.

        Networks are used one after another, so that they need not fit into memory
        together: the VAE's encoder, the text encoder, the transformer (or two).
        """
        settings, parts = request.settings, self.weights.parts
        is_guided = settings.guides(self.config.boundary is not None)
        batch = self.rows(request, 2 if is_guided else 1)
        # Waited for, so that the encoder can go before the transformer comes.
        contexts = jax.block_until_ready(
            denoising.encode_text(parts["text_encoder"], batch)
        )
        table = solvers.make_table(settings.solver, settings.steps, settings.shift)
        noise = self.first_tokens(request, batch.tokens)
        stack = solvers.begin(noise, table)
        used, network = "", None
        for i in progress(range(len(table.sigmas))):
            name, guidance = self.expert(table.times[i], settings)
            if network is None or name != used:
                network = None  # goes before the other comes
                network = denoising.ready(parts[name], contexts)
                used = name
            stack = denoising.denoise_step(
                network,
                stack,
                batch.tokens,
                contexts,
                jnp.float32(table.times[i]),
                jnp.asarray(table.matrices[i], jnp.float32),
                jnp.float32(guidance),
                is_guided=is_guided,
            )
            jax.block_until_ready(stack)
        clean = batch.tokens.x[: len(noise)]
        made = batch.tokens.made[: len(noise), :, None]
        tokens = jnp.where(made, stack[0], clean)
        grid, patch = request.grid(self.config), self.config.dit.patch
        return jnp.stack([unpatchify(row, grid, patch) for row in tokens])

    def expert(self, time: float, settings: SamplingConfig) -> tuple[str, float]:
        """The transformer that makes a step, and its guidance."""
        boundary = self.config.boundary
        if boundary is None or time >= boundary:
            return "dit", settings.guidance
        low = settings.guidance_low
        return DIT_LOW, settings.guidance if low is None else low

    def first_tokens(self, request: Request, tokens: Tokens) -> Float[Array, "b n p"]:
        """The noise that a video begins as: what was given, or what the seed gives."""
        if request.noise is None:
            return denoising.draw_noise(request, tokens.x.shape[1:])
        patch = self.config.dit.patch
        return jnp.stack([patchify(x, patch) for x in jnp.asarray(request.noise)])

    def rows(self, request: Request, times: int) -> Batch:
        """One row for each video, then, with guidance, one for each without prompt."""
        settings, pad_to = request.settings, self.config.text.pad_to
        x, extra, clean = self.known(request)
        fps = self.config.fps
        rate = 1.0 if fps is None else fps / settings.fps
        coords = coordinates(request.grid(self.config), rate=rate)
        prompts = list(request.prompts)
        prompts += [settings.negative_prompt] * (len(prompts) * (times - 1))
        tokenizer = self.weights.tokenizer
        rows = [
            pack_row(
                [
                    Sample(
                        x=x,
                        extra=extra,
                        coords=coords,
                        clean=clean,
                        captions=tokenizer.encode(prompt, pad_to)[None],
                        caption_ids=np.zeros(len(x), np.int32),
                    )
                ],
                len(x),
                1,
                pad_to,
            )
            for prompt in prompts
        ]
        return join(rows)

    def known(
        self, request: Request
    ) -> tuple[
        Float[np.ndarray, "n p"], Float[np.ndarray, "n q"], Bool[np.ndarray, " n"]
    ]:
        """What is known of a video: clean tokens, channels, and which are clean."""
        config, grid = self.config, request.grid(self.config)
        count = math.prod(grid)
        x = np.zeros((count, config.dit.patch_features), np.float32)
        extra = np.zeros((count, config.dit.extra_features), np.float32)
        clean = np.zeros(count, bool)
        if request.condition is None:
            return x, extra, clean
        vae, patch = self.weights.parts["vae"], config.dit.patch
        mask = np.asarray(request.condition.mask, np.float32)
        # Grey where nothing is known, as in training, whatever the caller left there.
        shown = conditioning.hide(
            np.asarray(request.condition.pixels, np.float32), mask
        ).pixels
        if config.known == "tokens":
            beginning = shown[: conditioning.beginning(mask)]
            tokens = patchify(np.asarray(codec.encode(vae, beginning[None])[0]), patch)
            x[: len(tokens)], clean[: len(tokens)] = tokens, True
        else:
            latents = np.asarray(codec.encode(vae, shown[None])[0])
            folded = conditioning.fold_mask(
                mask, config.vae.time_factor, config.vae.space_factor
            )
            extra = patchify(conditioning.channels(folded, latents), patch)
        return x, np.asarray(extra, np.float32), clean


def load(folder: PathLike = published.ASSETS) -> Model:
    """Load a model; without a folder, the one that ships with the package."""
    return Model(folders.load(folder))
