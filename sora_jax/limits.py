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
    frames: Number = 100_001
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
# Bytes of a text file: prompts, manifests, what a run has recorded.
TEXT_BYTES = 2**26
# Bytes of a config: published ones have a few thousand.
CONFIG_BYTES = 10**6
# Bytes of an index of shards: a hundred for each tensor of even the largest models.
INDEX_BYTES = 2**24
# Bytes of a SentencePiece model: umT5's has 4.5 million.
TOKENIZER_BYTES = 2**26
# Bytes of a storyboard.
STORY_BYTES = 2**16
# Lists and objects inside one another in JSON and YAML.
NESTING = 64
# Tensors of a safetensors file (Wan's have about a thousand), their axes, and bytes of
# the header that lists them: the format allows 100 million, and each takes about 100.
TENSORS = 100_000
AXES = 8
HEADER_BYTES = 300 * TENSORS
# Layers, and features of a layer, that a config may name.
LAYERS = 1_000
FEATURES = 2**20
# Layers of a VAE at each resolution, its downsamplings, and layers in one turn of a
# loop, which are written out one by one, not stacked: compiling takes as long as there
# are many. Wan's VAE has 2 and 3.
BLOCKS = 8
STAGES = 7
UNROLL = 64
# Sides of a patch, and multiples of a width.
FACTOR = 64
# Memories that a transformer attends to.
CONTEXTS = 8
# Tokens of a text.
TOKENS = 2**16
# The size of a number among latents' statistics and rates.
NUMBER = 1e6
# Seeds: JAX keeps no more of one.
SEEDS = 2**32
# Seconds after which the next frame's time is taken for a mistake of the file's, unless
# the file says that it lasts so long.
LONGEST_FRAME = 60.0
# Characters of an argument that is neither a text nor the name of a file.
ARGUMENT = 1_000
# Characters of a value that a message repeats.
QUOTED = 120
