"""Every bound on what is asked for and what is read, in one table.

A bound refuses, before any work, what would take minutes or gigabytes by mistake or
malice; none is a bound of the model. `--unlimited` and `sora_jax.load(...,
limits=UNLIMITED)` lift those of requests; those of file formats always hold.
"""

from __future__ import annotations

import dataclasses
import math

Number = int | float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may ask for, and how large its inputs may be."""

    # Pixels along a side of a video that is made.
    side: Number = 8192
    # Frames of a video that is made (at 24 frames per second, over an hour).
    frames: Number = 100_000
    # Frames that are made at once.
    window: Number = 2_000
    # Denoising steps.
    steps: Number = 1_000
    # Videos for each prompt, and videos of one command.
    variations: Number = 10_000
    # Characters of a prompt.
    prompt: Number = 10_000
    # Keyframes, spans, and shots of a storyboard.
    items: Number = 1_000
    # Pixels of a picture, or of a frame of a clip, that is read (8K has 33 million).
    pixels: Number = 3 * 2**24
    # Seconds between two frames of a clip.
    gap: Number = 600.0
    # Bytes of a clip's file that hold no frame, one after another.
    silence: Number = 2**27
    # Share of the host's memory that a clip may take.
    clip_memory: Number = 0.25
    # Numbers of latents that are given as noise.
    noise: Number = 2**26
    # Bytes of an array file.
    array_bytes: Number = 2**36
    # Share of the memory there is that a request may take, by estimate.
    memory: Number = 1.0


LIMITS = Limits()
UNLIMITED = Limits(**{item.name: math.inf for item in dataclasses.fields(Limits)})

# --- of file formats, never lifted ---------------------------------------------------
# Bytes of a text file: prompts, storyboards, configs, indices.
TEXT_BYTES = 2**26
# Bytes of a storyboard.
STORY_BYTES = 2**16
# Lists and objects inside one another in JSON and YAML.
NESTING = 64
# Bytes of a safetensors header: what the format allows.
HEADER_BYTES = 100_000_000
# Layers, and features of a layer, that a foreign config may name.
LAYERS = 1_000
FEATURES = 2**20
# Characters of a value that a message repeats.
QUOTED = 120
