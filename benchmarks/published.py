"""Published weights beside diffusers: `python benchmarks/published.py --folder DIR`.

Needs the `parity` extra, a folder of Wan's in diffusers' layout, and memory for one of
the two at a time in float32. One command prints the table of parity, and its exit
status is 1 if something differs by more than it may:

- token ids of texts, and the states of a prompt;
- a clip that went through the VAE;
- videos from the same noise after one step and after several, guided; image-to-video
  models are given a picture, or two.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import tyro
from diffusers.pipelines.wan.pipeline_wan import (  # pyright: ignore[reportMissingImports]
    prompt_clean,
)
from PIL import Image

import sora_jax
from sora_jax.data import video
from sora_jax.limits import UNLIMITED
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Keyframe

PROMPTS = (
    "a cat walks on the grass",
    "一只猫在草地上奔跑",
    "Ａ “red” ball &amp; élan 🐈",
)
NEGATIVE = "blurred"
CLOSE, DECIBELS = 1e-3, 50.0  # the largest relative error, the lowest PSNR


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What both sides make.

    Attributes:
      folder: of Wan's weights, in diffusers' layout.
      frames: of the video.
      height: in pixels.
      width: in pixels.
      steps: of denoising, beside one step.
      guidance: scale.
    """

    folder: str
    frames: int = 9
    height: int = 256
    width: int = 256
    steps: int = 4
    guidance: float = 4.0


def main(asked: Asked) -> int:
    """Print the table of parity, and return the exit status."""
    model = sora_jax.load(asked.folder, limits=UNLIMITED, rewords=False)
    if model.config.causal is not None or asked.frames < 2:
        raise SystemExit("give a folder that diffusers samples too, and --frames > 1")
    rng = np.random.default_rng(0)
    inputs = {
        "noise": rng.normal(size=latent_shape(model, asked)).astype(np.float32),
        "clip": rng.integers(
            0, 256, (asked.frames, asked.height, asked.width, 3), np.uint8
        ),
    }
    ours = dict(our_side(model, asked, inputs))
    del model
    jax.clear_caches()
    gc.collect()
    failed = False
    print(f"{asked.folder}: {asked}")
    print("| what | measure | value | bound |\n|---|---|---|---|")
    for what, theirs in their_side(asked, inputs):
        row, passed = compared(what, ours[what], theirs)
        print(f"| {what} | {row}{'' if passed else ' FAILED'} |", flush=True)
        failed = failed or not passed
    return int(failed)


def latent_shape(model: Model, asked: Asked) -> tuple[int, ...]:
    """Return the shape of a video's latents."""
    vae = model.config.vae
    t = 1 + (asked.frames - 1) // vae.time_factor
    sides = (side // vae.space_factor for side in (asked.height, asked.width))
    return (1, t, *sides, vae.channels)


def compared(what: str, ours: np.ndarray, theirs: np.ndarray) -> tuple[str, bool]:
    """Return what to print of two results, and whether they agree."""
    if what == "token ids":
        differing = int((ours != theirs).sum())
        return f"ids that differ | {differing} | 0", differing == 0
    if ours.shape != theirs.shape:
        return f"shapes | {ours.shape} and {theirs.shape} | the same", False
    if what.startswith("video"):
        decibels = 10 * np.log10(4 / np.mean(np.square(ours - theirs)))
        passed = bool(decibels >= DECIBELS)
        return f"PSNR | {decibels:.1f} dB | {DECIBELS:.0f} dB", passed
    error = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    return f"relative error | {error:.1e} | {CLOSE:.0e}", error <= CLOSE


def given_frames(model: Model) -> tuple[int, ...]:
    """Return the frames that an image-to-video model has to be given."""
    return model.config.keyframes[0] if model.config.keyframes else ()


def our_side(
    model: Model, asked: Asked, inputs: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield our results by name."""
    pad_to = model.config.text.pad_to
    ids = np.stack([model.weights.tokenizer.encode(x, pad_to) for x in PROMPTS])
    yield "token ids", ids
    states = encode(model.weights.networks["text_encoder"], ids[:1])[0]
    yield "states of a prompt", states[: np.count_nonzero(ids[0])]
    clip = video.to_float(inputs["clip"])
    yield "clip through the VAE", model.reconstruct(clip[None])[0]
    frames = given_frames(model)
    keyframes = [Keyframe(frame=at, picture=clip[at][None]) for at in frames]
    for steps in (1, asked.steps):
        settings = {
            "frames": asked.frames,
            "size": (asked.height, asked.width),
            "steps": steps,
            "guidance": asked.guidance,
            "negative_prompt": NEGATIVE,
            "init_noise": inputs["noise"],
        }
        made = (
            model.animate(keyframes, PROMPTS[0], **settings)
            if keyframes
            else model.generate(PROMPTS[0], **settings)[0]
        )
        # Given frames come back as they were, and theirs went through the VAE.
        yield f"video, steps: {steps}", np.delete(made, list(frames), axis=0)


def encode(encoder: Any, ids: np.ndarray) -> np.ndarray:
    """Return the states of token ids."""
    return np.asarray(jax.jit(lambda encoder, ids: encoder(ids))(encoder, ids))


def their_side(
    asked: Asked, inputs: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the results of diffusers by name."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        Path(asked.folder), dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    pad_to = int(min(pipeline.tokenizer.model_max_length, 512))
    cleaned = [prompt_clean(prompt) for prompt in PROMPTS]
    options = {"padding": "max_length", "max_length": pad_to, "truncation": True}
    read = pipeline.tokenizer(cleaned, return_tensors="pt", **options)
    yield "token ids", read.input_ids.numpy()
    count = int(read.attention_mask[0].sum())
    with torch.no_grad():
        states = pipeline.text_encoder(read.input_ids[:1], read.attention_mask[:1])
        yield "states of a prompt", states.last_hidden_state[0, :count].numpy()
        clip = np.moveaxis(video.to_float(inputs["clip"]), -1, 0)[None]
        latents = pipeline.vae.encode(torch.tensor(clip)).latent_dist.mode()
        back = pipeline.vae.decode(latents).sample[0].clamp(-1, 1).numpy()
    yield "clip through the VAE", np.moveaxis(back, 0, -1)
    given = pictures(pipeline, inputs["clip"])
    for steps in (1, asked.steps):
        made = pipeline(
            prompt=PROMPTS[0],
            negative_prompt=NEGATIVE,
            latents=torch.tensor(np.moveaxis(inputs["noise"], -1, 1)),
            num_frames=asked.frames,
            height=asked.height,
            width=asked.width,
            num_inference_steps=steps,
            guidance_scale=asked.guidance,
            max_sequence_length=pad_to,
            **given,
        ).frames[0]
        known = list(range(0, asked.frames, asked.frames - 1))[: len(given)]
        yield f"video, steps: {steps}", 2 * np.delete(made, known, axis=0) - 1


def pictures(pipeline: Any, clip: np.ndarray) -> dict[str, Image.Image]:
    """Return the pictures that a pipeline needs, by the names of its arguments."""
    if not isinstance(pipeline, diffusers.WanImageToVideoPipeline):
        return {}
    given = {"image": Image.fromarray(clip[0])}
    if pipeline.transformer.config.pos_embed_seq_len:
        given["last_image"] = Image.fromarray(clip[-1])
    return given


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Asked)))
