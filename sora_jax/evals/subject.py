"""The subject of an evaluation: a model, or only its VAE."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sora_jax import runtime
from sora_jax.evals.case import Clip
from sora_jax.sampling import codec
from sora_jax.sampling.model import Model
from sora_jax.sampling.opening import load as load_model
from sora_jax.sampling.tasks import Task
from sora_jax.weights import bundle, workdirs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, or only its VAE, to evaluate.

    Attributes:
      perform: samples a video for each prompt, see `perform`; None for a VAE.
      reconstruct: encodes and decodes `[b t h w 3]`.
      time_factor: videos have 1 + time_factor * k frames.
      space_unit: heights and widths are multiples of it.
    """

    perform: Callable[..., list[np.ndarray]] | None
    reconstruct: Callable[[np.ndarray], np.ndarray]
    time_factor: int
    space_unit: int


def load_subject(weights: str, *, vae_only: bool = False) -> Subject | None:
    """Load a folder of weights; None for "none".

    Args:
      weights: the folder; "" for the weights that ship with the package.
      vae_only: load only the VAE; then the folder may be the workdir of a VAE run.
    """
    if weights == "none":
        return None
    runtime.enable_compilation_cache()
    folder = weights or bundle.ASSETS
    if vae_only:
        vae = workdirs.load_vae(folder)
        return Subject(
            perform=None,
            reconstruct=functools.partial(codec.reconstruct, vae),
            time_factor=vae.config.time_factor,
            space_unit=vae.config.space_factor,
        )
    model = load_model(folder, rewords=False)
    config = model.config
    return Subject(
        perform=functools.partial(perform, model),
        reconstruct=model.reconstruct,
        time_factor=config.vae.time_factor,
        space_unit=config.vae.space_factor * max(config.dit.patch[1:]),
    )


def perform(
    model: Model, task: Task, prompts: Sequence[str], **settings: Any
) -> list[np.ndarray]:
    """Perform a task for several prompts in one batch.

    Args:
      model: the model.
      task: the task.
      prompts: one for each video.
      **settings: the seed, and overrides of the weights' defaults.
    """
    texts = [""] * len(prompts) if task.prompt == "none" else list(prompts)
    return list(np.concatenate(list(model.perform(task, texts, **settings)), axis=1))


def through_vae(subject: Subject, clips: Sequence[Clip]) -> list[Clip]:
    """Encode and decode clips; pads each with its last frame to whole latents."""
    frames = len(clips[0])
    missing = -(frames - 1) % subject.time_factor
    padded = [
        np.concatenate([clip, np.repeat(clip[-1:], missing, axis=0)]) for clip in clips
    ]
    kept = np.asarray(subject.reconstruct(np.stack(padded)), np.float32)
    return list(np.clip(kept, -1.0, 1.0)[:, :frames])
