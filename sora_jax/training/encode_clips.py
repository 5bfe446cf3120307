"""Encode clips of one shape: draws of background, condition and captions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, UInt8

from sora_jax.config import EncodeRun, VAEConfig
from sora_jax.data import backgrounds
from sora_jax.data.records import Record
from sora_jax.data.sources.protocol import ClipSource, ClipSpec
from sora_jax.data.video import to_float
from sora_jax.diffusion import conditioning
from sora_jax.types import Condition

# (first latent frame, phrasings of the captions from it on)
CaptionsFrom = tuple[int, tuple[str, ...]]
EncodeClips = Callable[[Float[np.ndarray, "b t h w 3"]], Float[Array, "b t h w z"]]

_CAPTIONS = 1  # added to the seed: captions are drawn apart from pixels
# Shares of captions that do not tell a background, and that begin with it.
_UNTOLD, _FIRST = 0.2, 0.2


class Draw(NamedTuple):
    """What is drawn of a clip: the pixels to encode, its condition and its background.

    `background` is the name of what is seen where the clip is transparent; "" if it is
    not.
    """

    pixels: Float[np.ndarray, "t h w 3"]
    condition: Condition
    background: str


def by_shape(
    source: ClipSource, indices: range, batch: int
) -> Iterator[list[tuple[int, ClipSpec]]]:
    """Group clips of one shape into batches, without reading them."""
    waiting: dict[tuple[int, ...], list] = defaultdict(list)
    for index in indices:
        spec = source.spec(index)
        group = waiting[spec.shape]
        group.append((index, spec))
        if len(group) == batch:
            yield waiting.pop(spec.shape)
    yield from waiting.values()


def stack_and_pad(
    clips: list[Float[np.ndarray, "t h w c"]], batch: int
) -> Float[np.ndarray, "b t h w c"]:
    """Stack clips, and repeat the last to fill the batch, for one compiled program."""
    return np.stack(clips + clips[-1:] * (batch - len(clips)))


def encode_group(
    config: EncodeRun,
    clips: Sequence[tuple[int, ClipSpec, UInt8[np.ndarray, "t h w c"]]],
    run: EncodeClips,
    vae: VAEConfig,
) -> list[Record]:
    """Encode clips of one shape; returns the draws of one clip after another's.

    Args:
      config: of the run.
      clips: index, spec and pixels of each, at most a batch.
      run: encodes a batch.
      vae: its config.
    """
    records: list[list[Record]] = [[] for _ in clips]
    latents = None
    for number in range(config.draws):
        draws = [draw(config, index, number, pixels) for index, _, pixels in clips]
        if latents is None or any(pixels.shape[-1] == 4 for _, _, pixels in clips):
            latents = _encoded(config, run, [each.pixels for each in draws])
        given = latents
        if any(each.condition.mask.any() for each in draws):
            given = _encoded(config, run, [each.condition.pixels for each in draws])
        for i, (one, (index, spec, _)) in enumerate(zip(draws, clips, strict=True)):
            rng = np.random.default_rng([config.seed, index, number, _CAPTIONS])
            record = Record(
                latents=latents[i],
                extra=conditioning.conditioning_channels(
                    one.condition.mask, given[i], vae.time_factor
                ),
                captions=tell(captions_of(spec), one.background, rng),
                stretches=tuple(
                    (start, tell(texts, one.background, rng))
                    for start, texts in stretches_of(spec, vae.time_factor)
                ),
            )
            records[i].append(record)
    return [record for draws in records for record in draws]


def _encoded(
    config: EncodeRun, run: EncodeClips, clips: list[Float[np.ndarray, "t h w 3"]]
) -> Float[np.ndarray, "b t2 h2 w2 z"]:
    return np.asarray(run(stack_and_pad(clips, config.batch)))


def tell(
    texts: Sequence[str], background: str, rng: np.random.Generator
) -> tuple[str, ...]:
    """Let most captions tell the background, at their end or at their beginning."""
    if not background:
        return tuple(texts)
    phrases = backgrounds.phrases(background)
    told = []
    for text in texts:
        phrase = phrases[int(rng.integers(len(phrases)))]
        place = rng.random()
        if place < _UNTOLD:
            told.append(text)
        elif place < _UNTOLD + _FIRST:
            told.append(f"{phrase}, {text}" if text else phrase)
        else:
            told.append(f"{text} {phrase}".strip())
    return tuple(told)


def draw(
    config: EncodeRun, index: int, number: int, pixels: UInt8[np.ndarray, "t h w c"]
) -> Draw:
    """Draw background and condition of a clip; deterministic by seed and index."""
    # The first draw is seeded as it was when there was no other.
    rng = np.random.default_rng([config.seed, index, *([number] if number else [])])
    shown, name = pixels, ""
    if pixels.shape[-1] == 4:
        name = backgrounds.draw_name(rng)
        shown = backgrounds.over(pixels, name)
    floats = to_float(shown)
    return Draw(floats, draw_condition(config, rng, floats), name)


def draw_condition(
    config: EncodeRun, rng: np.random.Generator, pixels: Float[np.ndarray, "t h w c"]
) -> Condition:
    """Draw the given pixels of a clip."""
    shape = pixels.shape[:3]
    mask = conditioning.empty_mask(*shape)
    if rng.random() < config.conditioned:
        mask = conditioning.draw_mask(rng, *shape)
    return conditioning.grey_out(pixels, mask)


def captions_of(spec: ClipSpec) -> tuple[str, ...]:
    """Return the captions of a whole clip; one empty text if there are none."""
    return spec.captions[0].texts if spec.captions else ("",)


def stretches_of(spec: ClipSpec, time_factor: int) -> tuple[CaptionsFrom, ...]:
    """Return the first latent frame of each stretch of time, and its phrasings."""
    parts = spec.captions[1:] or spec.captions
    # The latent frame in which a stretch begins may still show the one before it.
    return tuple((-(-part.start // time_factor), part.texts) for part in parts) or (
        (0, ("",)),
    )


def check_clips(specs: Iterable[ClipSpec], vae: VAEConfig) -> None:
    """Check that the VAE supports the clips' lengths and sizes.

    Raises:
      ValueError: names each field, and what it must be.
    """
    time, space = vae.time_factor, vae.space_factor
    shapes = {spec.shape for spec in specs}
    frames = sorted({shape[0] for shape in shapes if (shape[0] - 1) % time})
    sizes = sorted({shape[1:] for shape in shapes if any(s % space for s in shape[1:])})
    problems = []
    if frames:
        problems.append(f"data.frames must be 1 + {time}k each, got {frames}")
    if sizes:
        problems.append(f"data.sizes must be multiples of {space}, got {sizes}")
    if problems:
        raise ValueError("\n".join(problems))
