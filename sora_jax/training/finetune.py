"""Fine-tuning: the runs that encode somebody's clips and train a model on them."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

from sora_jax.config import (
    ClipsConfig,
    DiTRun,
    EncodeRun,
    FineTune,
    FlowConfig,
    ModelConfig,
    OptimConfig,
    PackingConfig,
    require,
)
from sora_jax.files import PathLike
from sora_jax.weights import bundle, folders

LATENTS, DIT = "latents", "dit"  # folders below the workdir
FRAMES = 17  # of a clip, unless the config says another number
SHARD = 64  # clips: what a killed encode loses


class Stages(NamedTuple):
    """The runs of a fine-tuning."""

    encode: EncodeRun
    train: DiTRun


def start_of(config: FineTune) -> str:
    """Return the folder of the weights to start from."""
    return config.start_from or os.fspath(bundle.ASSETS)


def stages(config: FineTune, workdir: PathLike) -> Stages:
    """Return the runs of a fine-tuning in a workdir.

    Raises:
      ValueError: no data are given, the weights are missing or have two transformers,
        or the VAE has no clips of so many frames.
    """
    require(
        bool(config.data),
        "data is missing: give a folder of clips with captions, such as "
        "--config.data=clips (docs/your_data.md says how they are laid out)",
    )
    start, workdir = start_of(config), os.fspath(workdir)
    model = folders.describe(start)
    require(
        model.boundary is None,
        f"start_from {start!r} holds {model.name!r}, which has two transformers, and "
        "one is trained here: give weights with one, such as wan21_1b3",
    )
    clips = clips_of(config, model)
    return Stages(
        encode=EncodeRun(
            seed=config.seed,
            data=clips,
            vae=start,
            tokenizer=start,
            draws=config.draws,
            conditioned=config.conditioned if model.dit.extra_channels else 0.0,
            batch=min(4, config.batch),
            held_out_clips=config.held_out_clips,
            statistics_clips=1,
            shard=SHARD,
        ),
        train=_train(config, model, clips, os.path.join(workdir, LATENTS)),
    )


def clips_of(config: FineTune, model: ModelConfig) -> ClipsConfig:
    """Return how the clips are read, for the VAE and the rate of a model."""
    factor, cell = model.vae.time_factor, model.vae.space_factor
    frames = config.frames or 1 + factor * math.ceil((FRAMES - 1) / factor)
    require(
        (frames - 1) % factor == 0,
        f"frames must be 1 + {factor}k, lengths that the VAE has, got {frames}",
    )
    return ClipsConfig(
        path=config.data,
        fields=config.fields,
        fps=config.fps or model.fps or model.sampling.fps,
        time_factor=factor,
        frames=frames,
        pixels=config.pixels,
        multiple=cell * max(model.dit.patch[1:]),
    )


def _train(
    config: FineTune, model: ModelConfig, clips: ClipsConfig, latents: str
) -> DiTRun:
    tokens = clip_tokens(clips, model)
    start, is_lora = start_of(config), config.method == "lora"
    return DiTRun(
        seed=config.seed,
        steps=config.steps,
        latents=latents,
        start_from=start,
        text_from=start,
        trainable="adapters" if is_lora else "all",
        adapter=config.lora if is_lora else None,
        dit=model.dit,
        text=model.text,
        packing=PackingConfig(
            tokens=tokens,
            rows=config.batch,
            samples=6,
            mid_clip=0.1 if model.mid_clip else 0.0,
            clean_prefix=0.0 if model.conditioning == "nothing" else 0.1,
        ),
        flow=FlowConfig(shift=model.sampling.shift, shift_tokens=tokens),
        optim=OptimConfig(
            name="adamw",
            lr=config.lr,
            warmup=min(20, config.steps // 4),
            decay=0.3,
            ema_decay=0.98,
        ),
        prompts=config.prompts,
        prompt_size=prompt_size(clips),
        eval_every=config.eval_every,
        checkpoint_every=config.checkpoint_every,
        cpu_matmul_dtype=config.cpu_matmul_dtype,
        mesh=config.mesh,
    )


def prompt_size(clips: ClipsConfig) -> tuple[int, int]:
    """Return the (height, width) of videos of prompts: a square like the clips."""
    cells = max(1, round(math.sqrt(clips.pixels) / clips.multiple))
    return cells * clips.multiple, cells * clips.multiple


def clip_tokens(clips: ClipsConfig, model: ModelConfig) -> int:
    """Return the tokens of the longest and largest clip."""
    cells = clips.pixels / model.vae.space_factor**2
    per_frame = math.ceil(cells / math.prod(model.dit.patch[1:]))
    return (1 + (clips.frames - 1) // clips.time_factor) * per_frame
