"""A summary of stored clips in a few lines, and a contact sheet."""

from __future__ import annotations

import collections
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from sora_jax.data.backgrounds import blend
from sora_jax.data.sources.protocol import ClipSpec
from sora_jax.data.sources.resampling import read_at
from sora_jax.data.sources.stored import ClipStore, StoredSpec

EXAMPLES = 3  # captions that are shown
SIZES = 4  # that are listed, from the most frequent
ROWS, FRAMES = 16, 6  # clips on a sheet, and frames of each
HEIGHT, WIDTH, LINE = 96, 128, 16  # pixels of a frame on it, and of a line of text
_PAPER, _INK = (250, 250, 250), (40, 40, 40)
_CHECKER = (128, 176)  # greys, in squares of 8 pixels


def summary(specs: Sequence[StoredSpec]) -> list[str]:
    """Describe clips: how many, how large, how long, and what is said of them."""
    every = [each.spec for each in specs]
    videos = [spec for spec in every if spec.frames > 1]
    counts = [f"{len(videos)} videos, {len(every) - len(videos)} pictures"]
    for what, number in (
        ("with alpha", sum(spec.has_alpha for spec in every)),
        ("with sound", sum(spec.has_sound for spec in every)),
        ("loops", sum(each.is_loop for each in specs)),
        ("without a caption", sum(not spec.captions for spec in every)),
    ):
        counts += [f"{number} {what}"] if number else []
    lines = [f"clips: {len(every)} ({', '.join(counts)})", f"sizes: {_sizes(every)}"]
    if videos:
        lines.append(_spread("seconds", [spec.frames / spec.fps for spec in videos]))
        lines.append(_spread("frames", [spec.frames for spec in videos]))
        lines.append(_spread("frames per second", [spec.fps for spec in videos]))
    texts = [caption.texts for spec in every for caption in spec.captions[:1]]
    if texts:
        lines.append(_spread("captions of a clip", [len(each) for each in texts]))
        words = [len(text.split()) for each in texts for text in each]
        lines.append(_spread("words of a caption", words))
    names = sorted({name for spec in every for name in spec.scores})
    for name in names:
        scores = [spec.scores[name] for spec in every if name in spec.scores]
        lines.append(_spread(f"score {name}", scores))
    chosen = [texts[number][0] for number in _spaced(len(texts), EXAMPLES)]
    return lines + [f"such as: {textwrap.shorten(text, 100)}" for text in chosen]


def _sizes(specs: Iterable[ClipSpec]) -> str:
    counts = collections.Counter((spec.width, spec.height) for spec in specs)
    told = [f"{w}x{h} ({number})" for (w, h), number in counts.most_common(SIZES)]
    more = len(counts) - SIZES
    return ", ".join(told) + (f" and {more} others" if more > 0 else "")


def _spread(name: str, values: Sequence[int | float]) -> str:
    low, middle, high = np.quantile(np.asarray(values, np.float64), (0, 0.5, 1))
    if low == high:
        return f"{name}: {low:.4g}"
    return f"{name}: {low:.4g} to {high:.4g}, median {middle:.4g}"


def _spaced(count: int, most: int) -> list[int]:
    """Return indices that are evenly spaced."""
    chosen = min(count, most)
    return [number * count // chosen for number in range(chosen)]


# --- contact sheet -------------------------------------------------------------------


def contact_sheet(store: ClipStore) -> UInt8[np.ndarray, "h w 3"]:
    """Draw frames of some clips, a row for each, above its name and caption.

    Clips with alpha are shown over a checker.
    """
    rows = [_row(store, number) for number in _spaced(len(store), ROWS)]
    return np.concatenate(rows)


def _row(store: ClipStore, number: int) -> UInt8[np.ndarray, "h w 3"]:
    stored = store.describe(number)
    spec = stored.spec
    texts = spec.captions[0].texts if spec.captions else ("no caption",)
    paper = np.full((HEIGHT + 2 * LINE, FRAMES * WIDTH, 3), _PAPER, np.uint8)
    try:
        frames = _thumbnails(store.content(number), stored)
    except ValueError as error:
        texts, frames = (f"cannot be read: {error}",), []
    for column, frame in enumerate(frames):
        height, width, _ = frame.shape
        left = column * WIDTH
        paper[:height, left : left + width] = frame
    image = Image.fromarray(paper)
    draw = ImageDraw.Draw(image)
    for line, text in enumerate((stored.name, texts[0])):
        text = text.encode("latin-1", "replace").decode("latin-1")  # of the font
        shown = textwrap.shorten(text, FRAMES * WIDTH // 7)
        draw.text((2, HEIGHT + line * LINE), shown, fill=_INK)
    return np.asarray(image)


def _thumbnails(
    content: bytes | np.ndarray, stored: StoredSpec
) -> list[UInt8[np.ndarray, "h w 3"]]:
    spec = stored.spec
    scale = min((HEIGHT - 2) / spec.height, (WIDTH - 2) / spec.width)
    size = (max(1, int(spec.height * scale)), max(1, int(spec.width * scale)))
    count = min(FRAMES, spec.frames)
    times = np.arange(count, dtype=np.float64) * stored.seconds / count
    frames = read_at(
        content, times, size, stored.name, has_alpha=spec.has_alpha, fps=spec.fps
    )
    if spec.has_alpha:
        frames = blend(frames, _checker(*size))
    return list(frames)


def _checker(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    rows, columns = np.indices((height, width)) // 8
    greys = np.array(_CHECKER, np.uint8)[(rows + columns) % 2]
    return np.repeat(greys[..., None], 3, axis=2)
