"""All limits of requests and of files that are read.

They refuse, before any work, what would take minutes or gigabytes by mistake or malice;
the models themselves have no such limits. `--unlimited` and `sora_jax.load(...,
limits=UNLIMITED)` lift the limits of requests; those of file formats always hold.
"""

from __future__ import annotations

import dataclasses
import math

Number = int | float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a request and of its input files."""

    # Pixels along a side of an output video.
    side: Number = 8192
    # Frames of an output video (at 24 frames per second, over an hour).
    frames: Number = 100_001
    # Frames sampled at once.
    window: Number = 2_000
    # Denoising steps.
    steps: Number = 1_000
    # Videos per prompt, and videos of one command.
    variations: Number = 10_000
    # Characters of a prompt.
    prompt: Number = 10_000
    # Keyframes, spans, and shots of a storyboard.
    items: Number = 1_000
    # Pixels of an input picture, or of a frame of an input clip (8K has 33 million).
    pixels: Number = 3 * 2**24
    # Seconds between two frames of a clip.
    gap: Number = 600.0
    # Consecutive bytes of a clip's file without a frame.
    silence: Number = 2**27
    # Share of the host's memory that a clip may take.
    clip_memory: Number = 0.25
    # Values of latents given as noise.
    noise: Number = 2**26
    # Bytes of an array file.
    array_bytes: Number = 2**36
    # Share of the available memory that a request may take, as estimated.
    memory: Number = 1.0


LIMITS = Limits()
UNLIMITED = Limits(**{item.name: math.inf for item in dataclasses.fields(Limits)})

# --- of file formats, never lifted ---------------------------------------------------
# Bytes of a text file: prompts, manifests, records of a run.
TEXT_BYTES = 2**26
# Bytes of a config: published ones have a few thousand.
CONFIG_BYTES = 10**6
# Bytes of an index of shards: a hundred for each tensor of even the largest models.
INDEX_BYTES = 2**24
# Bytes of a SentencePiece model: umT5's has 4.5 million.
TOKENIZER_BYTES = 2**26
# Bytes of a stored clip's file.
CLIP_BYTES = 2**30
# Members of an archive of clips.
ARCHIVE_MEMBERS = 2**20
# Bytes of a storyboard.
STORY_BYTES = 2**16
# Lists and objects inside one another in JSON and YAML.
NESTING = 64
# Tensors of a safetensors file (Wan's have about a thousand), their axes, and bytes of
# the header that lists them: the format allows 100 million, and each takes about 100.
TENSORS = 100_000
AXES = 8
HEADER_BYTES = 300 * TENSORS
# Modules that a config of PEFT gives an alpha of their own.
PATTERNS = 10_000
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
# Latent frames of a block or a window of a causal transformer.
LATENTS = 2**16
# Contexts that a transformer attends to.
CONTEXTS = 8
# Tokens of a text.
TOKENS = 2**16
# Magnitude of latent statistics and frame rates.
NUMBER = 1e6
# Seeds are 32-bit integers in JAX.
SEEDS = 2**32
# A longer gap between two frames, in seconds, counts as an error of the file, unless
# its declared duration contains it.
LONGEST_FRAME = 60.0
# Characters of an argument that is neither a text nor a path.
ARGUMENT = 1_000
# Characters of a value quoted in a message.
QUOTED = 120
