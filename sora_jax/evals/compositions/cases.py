"""Cases of held-out compositions: a prompt whose true clip was never trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from sora_jax.data import backgrounds
from sora_jax.data.sources.stored import StoredClips
from sora_jax.data.video import to_float
from sora_jax.evals import metrics
from sora_jax.evals.case import Case, Clip, Finding, Suite
from sora_jax.evals.compositions.gallery import Feature, Gallery, feature_of
from sora_jax.sampling.tasks import Generate, build

NEAREST, AMONG_FIVE = "own truth is nearest", "own truth among five nearest"
RANK = "rank of own truth"
TONE, ROLE, GENDER = "tone", "role", "gender"
MOTION, CLOSURE = "motion, of the truth's", "gap of the loop, of a step's"
ROWS = (NEAREST, AMONG_FIVE, RANK, TONE, ROLE, GENDER, MOTION, CLOSURE)
HELD_OUT = "held_out_phrasings"  # in the ground truth of a clip
Phrasing = Literal["seen", "held_out"]
_PHRASING = 1  # of the captions: who, and how it moves
_BATCH = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What is seen of a video: it small, its motion, and whether it closes its loop.

    Attributes:
      feature: see `feature_of`.
      energy: mean difference of neighbouring frames, of 255.
      closure: difference of last and first frame, as a multiple of `energy`.
    """

    feature: Feature
    energy: float
    closure: float


def observe(video: Clip) -> Seen:
    """Extract what is scored."""
    steps = np.abs(np.diff(video, axis=0)).mean(axis=(1, 2, 3))
    energy = float(steps.mean()) if len(steps) else 0.0
    gap = float(np.abs(video[-1] - video[0]).mean())
    return Seen(
        feature=feature_of(video),
        energy=127.5 * energy,
        closure=gap / max(energy, 1e-6),
    )


def score(
    seen: Seen, *, gallery: Gallery, own: int, background: str, energy: float
) -> list[Finding]:
    """Compare a video with every true clip.

    Args:
      seen: of the video.
      gallery: the true clips.
      own: which of them the prompt describes.
      background: of the prompt.
      energy: of the truth.
    """
    distances = gallery.distances(seen.feature, background)
    truth = gallery.truths[own]
    rank = 1 + int((distances < distances[own]).sum())
    found = [
        Finding(measure=NEAREST, is_right=rank == 1),
        Finding(measure=AMONG_FIVE, is_right=rank <= 5),
        Finding(measure=RANK, value=float(rank)),
    ]
    same_base = [
        number
        for number, other in enumerate(gallery.truths)
        if other["base"] == truth["base"] and other["tone"]
    ]
    found.append(_agrees(TONE, truth, gallery, same_base, distances))
    people = [
        number
        for number, other in enumerate(gallery.truths)
        if gallery.is_seen[number] and other["role"]
    ]
    found += [
        _agrees(trait, truth, gallery, people, distances) for trait in (ROLE, GENDER)
    ]
    found.append(Finding(measure=MOTION, value=seen.energy / max(energy, 1e-6)))
    found.append(Finding(measure=CLOSURE, value=seen.closure))
    return found


def _agrees(
    trait: str,
    truth: Mapping[str, Any],
    gallery: Gallery,
    among: Sequence[int],
    distances: Float32[np.ndarray, " m"],
) -> Finding:
    """Return whether the nearest of some clips has the same trait."""
    nearest = min(among, key=lambda number: distances[number])
    other = gallery.truths[nearest][trait]
    return Finding(
        measure=trait, stated=truth[trait], seen=other, is_right=other == truth[trait]
    )


def suite(
    clips: StoredClips,
    gallery: Gallery,
    own: Sequence[int],
    phrasing: Phrasing = "seen",
) -> Suite:
    """Return the suite of held-out clips.

    Args:
      clips: of the held-out split.
      gallery: with these and all others.
      own: the place of each clip in the gallery.
      phrasing: of the prompts.
    """

    def cases(seed: int) -> Iterator[Case]:
        order = np.random.default_rng(seed).permutation(len(clips)).tolist()
        for number, index in enumerate(order):
            # Neighbours share a background, which a shuffled prompt then has as well.
            name = list(backgrounds.BACKGROUNDS)[number // _BATCH % _BACKGROUNDS]
            yield case(clips, index, gallery, own[index], name, phrasing)

    return Suite(cases=cases, batch=_BATCH, shuffles=True, rows=ROWS)


_BACKGROUNDS = len(backgrounds.BACKGROUNDS)


def describe(texts: Sequence[str], truth: Mapping[str, Any], phrasing: Phrasing) -> str:
    """Return the text that prompts for a clip.

    Args:
      texts: its captions, phrased as those of training clips are.
      truth: its ground truth.
      phrasing: "seen" takes a caption, "held_out" a phrasing that no clip is trained
        with.

    Raises:
      ValueError: the dataset holds no phrasings out.
    """
    if phrasing == "seen":
        return texts[_PHRASING]
    held_out = truth.get(HELD_OUT)
    if not held_out:
        raise ValueError(
            f"--phrasing held_out needs {HELD_OUT} in the ground truth of the clips, "
            "and they have none: build the dataset again, or leave --phrasing out"
        )
    return held_out[0]


def case(
    clips: StoredClips,
    index: int,
    gallery: Gallery,
    own: int,
    background: str,
    phrasing: Phrasing = "seen",
) -> Case:
    """Return the case of a held-out clip over a background."""
    clip = clips.read(index)
    truth = to_float(backgrounds.over(clip.pixels, background))
    frames, height, width, _ = truth.shape
    ending = backgrounds.phrases(background)[0]
    text = describe(clip.captions[0].texts, gallery.truths[own], phrasing)
    memorized = nearest_seen(gallery, own, background)

    def compare(kept: Clip) -> list[Finding]:
        return [Finding(measure="PSNR, dB", value=metrics.psnr(truth, kept))]

    return Case(
        index=index,
        prompt=f"{text} {ending}",
        task=build(Generate, {"frames": frames}),
        settings={"size": (height, width), "fps": clip.fps},
        fps=clip.fps,
        truth=truth,
        given=np.zeros(truth.shape[:3], bool),
        baseline=enlarged(gallery, memorized, background, truth.shape),
        observe=observe,
        score=functools.partial(
            score,
            gallery=gallery,
            own=own,
            background=background,
            energy=observe(truth).energy,
        ),
        compare=compare,
    )


def nearest_seen(gallery: Gallery, own: int, background: str) -> int:
    """Return the training clip nearest to a true one: what a memorizer would show."""
    truth = enlarged(gallery, own, background, (len(gallery.pixels[own]), 32, 32, 3))
    distances = gallery.distances(feature_of(truth), background)
    seen = np.flatnonzero(gallery.is_seen)
    return int(seen[np.argmin(distances[seen])])


def enlarged(
    gallery: Gallery, number: int, background: str, shape: tuple[int, ...]
) -> Clip:
    """Return a clip of the gallery in the shape of a video."""
    frames, height, width, _ = shape
    small = backgrounds.over(gallery.pixels[number], background)
    times = np.arange(frames) % len(small)
    rows = np.arange(height) * small.shape[1] // height
    columns = np.arange(width) * small.shape[2] // width
    return to_float(small[times][:, rows][:, :, columns])
