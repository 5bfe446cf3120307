"""The files that flags name, read and brought to the size and frame rate asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sora_jax import cli, files
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.data import arrays, footage, storyboard, video
from sora_jax.limits import Limits
from sora_jax.sampling import checks
from sora_jax.sampling.allowed import too_many
from sora_jax.sampling.duties import TASKS
from sora_jax.sampling.flags import Arguments
from sora_jax.sampling.parts import Clip, Part
from sora_jax.sampling.tasks import joining, keyframes, retouching, splicing, story
from sora_jax.sampling.tasks.brief import Brief
from sora_jax.sampling.tasks.keyframes import Keyframe
from sora_jax.sampling.tasks.story import Stretch

FILES = ("image", "video", "mask", "storyboard", "init_noise")
# What is left of a task when its files are read: from prompt and seed to parts.
Build = Callable[[Brief], list[Part]]


def read(arguments: Arguments, settings: SamplingConfig, model: ModelConfig) -> Build:
    """Read the files of a task.

    Raises:
      ValueError: a file is none, is damaged, or does not fit the others.
    """
    frames = settings.frames
    match arguments.task:
        case "generate":
            return lambda brief: keyframes.generate(brief, frames)
        case "animate":
            keys = [
                read_keyframe(text, arguments, settings) for text in arguments.image
            ]
            return lambda brief: keyframes.animate(brief, keys, frames)
        case "storyboard":
            return read_storyboard(arguments, settings)
        case "inpaint":
            return read_painting(arguments, settings)
        case "insert" | "remove":
            return read_spans(arguments, settings)
        case "edit" | "upscale":
            return read_retouched(arguments, settings)
    clips = [read_clip(path, arguments, settings) for path in arguments.video]
    if arguments.task == "loop" and not clips:
        return lambda brief: joining.loop_from_prompt(brief, frames)
    new = frames if counted(arguments) else model.sampling.frames - 1
    if arguments.task == "extend":
        return lambda brief: joining.extend(brief, clips[0], new, arguments.direction)
    # A transition takes half of what an extension does.
    new = frames if counted(arguments) else max(1, new // 2)
    if arguments.task == "loop":
        return lambda brief: joining.loop(brief, clips[0], new)
    return lambda brief: joining.connect(brief, clips[0], clips[1], new)


def counted(arguments: Arguments) -> bool:
    """Whether the number of frames was given."""
    return arguments.frames is not None or arguments.seconds is not None


def read_clip(path: str, arguments: Arguments, settings: SamplingConfig) -> Clip:
    """A clip at the size and frame rate of the video."""
    found = footage.read(
        path,
        fps=settings.fps,
        size=settings.size,
        fit=arguments.fit,
        limits=arguments.limits,
    )
    return video.to_float(found.clip.pixels)


def read_keyframe(
    text: str, arguments: Arguments, settings: SamplingConfig
) -> Keyframe:
    """A picture given as FILE, FILE@FRAME or FILE@FRAME:STRENGTH."""
    path, frame, strength = checks.split_keyframe(text)
    pixels = footage.read_image(
        path, size=settings.size, fit=arguments.fit, limits=arguments.limits
    )
    return Keyframe(pixels=pixels, frame=frame, strength=strength)


def read_storyboard(arguments: Arguments, settings: SamplingConfig) -> Build:
    """A storyboard and its pictures."""
    assert arguments.storyboard is not None
    board = storyboard.read(arguments.storyboard, limits=arguments.limits)
    stretches = [
        Stretch(
            frame=round(shot.at * settings.fps),
            prompt=shot.prompt,
            cut=shot.cut,
            picture=None
            if shot.image is None
            else footage.read_image(
                shot.image,
                size=settings.size,
                fit=arguments.fit,
                field="--storyboard",
                limits=arguments.limits,
            ),
        )
        for shot in board.shots
    ]
    frames = max(1, round(board.seconds * settings.fps))
    return lambda brief: story.storyboard(brief, stretches, frames)


def read_painting(arguments: Arguments, settings: SamplingConfig) -> Build:
    """A clip, and the mask of what is made anew in it or the frame around it."""
    how: dict[str, Any] = {"fps": settings.fps, "size": settings.size}
    how |= {"fit": arguments.fit, "limits": arguments.limits}
    found = footage.read(arguments.video[0], **how)
    clip = video.to_float(found.clip.pixels)
    if arguments.mask is None:
        assert arguments.outpaint is not None
        size = cli.parse_size(arguments.outpaint, field="--outpaint")
        return lambda brief: retouching.outpaint(brief.sized(size), clip)
    mask = footage.read_mask(arguments.mask, found, **how)
    return lambda brief: retouching.inpaint(brief, clip, mask)


def read_spans(arguments: Arguments, settings: SamplingConfig) -> Build:
    """A clip, and the spans of seconds that are inserted or removed."""
    clip = read_clip(arguments.video[0], arguments, settings)
    spans = [checks.parse_span(text) for text in arguments.span]
    if arguments.task == "insert":
        return lambda brief: splicing.insert(brief, clip, spans)
    bridge = settings.frames if counted(arguments) else None
    return lambda brief: splicing.remove(brief, clip, spans, bridge)


def read_retouched(arguments: Arguments, settings: SamplingConfig) -> Build:
    """A clip with new content, or refined; without a clip a draft is refined."""
    strength = strength_of(arguments)
    if not arguments.video:
        return lambda brief: retouching.upscale_draft(brief, strength)
    found = footage.read(
        arguments.video[0],
        fps=settings.fps,
        size=settings.size,
        fit=arguments.fit,
        limits=arguments.limits,
    )
    if arguments.task == "upscale":
        retouching.check_larger(settings.size, found.source_size)
    # Fitted to its size once, an enlarged clip is a source like any other.
    clip = video.to_float(found.clip.pixels)
    return lambda brief: retouching.edit(brief, clip, strength)


def strength_of(arguments: Arguments) -> float:
    """How much of a clip is changed."""
    usual = retouching.EDIT if arguments.task == "edit" else retouching.REFINE
    return usual if arguments.strength is None else arguments.strength


def record(arguments: Arguments) -> dict[str, Any]:
    """What a video's record says of it beside its settings: what it was made from."""
    kind = TASKS[arguments.task]
    said = {name: getattr(arguments, name) for name in (*kind.needs, *kind.may)}
    if "strength" in said:
        said["strength"] = strength_of(arguments)
    said.pop("size", None)  # a setting too, which says it as it was made
    if any(said.get(name) for name in FILES[:4]):
        said["fit"] = arguments.fit
    if arguments.storyboard is not None:
        # The file may change, and holds the prompts.
        said["story"] = storyboard.read_text(arguments.storyboard)
    return {name: value for name, value in said.items() if value not in (None, ())}


def read_noise(path: str, limits: Limits) -> np.ndarray:
    """Read latents [t, h, w, z] to begin from, as those of one video.

    Raises:
      ValueError: the file is none, or holds other things than finite numbers.
    """
    noise = arrays.load(path, field="--init-noise", limits=limits)
    named = f"--init-noise {files.quoted(path)}"
    if not np.issubdtype(noise.dtype, np.floating):
        raise ValueError(
            f"{named} must hold one array of floating-point numbers, got "
            f"{noise.dtype}: save it with np.save"
        )
    if noise.size > limits.noise:
        raise ValueError(too_many("init_noise", "numbers", noise.size, limits.noise))
    noise = np.asarray(noise, np.float32)
    return noise[None] if noise.ndim == 4 else noise
