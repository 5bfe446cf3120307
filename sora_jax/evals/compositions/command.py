"""Evaluate a model on compositions that it never saw, of which true clips exist.

Videos are made for held-out clips of a dataset such as fluent_emoji, whose role,
gender and tone of skin were each seen in training, but never together. Each is compared
with all clips of the dataset. Controls are the true clips, their VAE reconstructions,
the nearest training clip (baseline), and other cases' prompts (shuffled).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sora_jax import cli
from sora_jax.config import ClipsConfig
from sora_jax.data.sources.opening import open_store
from sora_jax.data.sources.stored import open_stored
from sora_jax.evals import harness, options, results, subject
from sora_jax.evals.compositions.cases import Phrasing, suite
from sora_jax.evals.compositions.gallery import open_gallery

NAME = "compositions"
SPLITS = ("train", "validation", "test_composition")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompositionOptions(options.EvalOptions):
    """Options of the evaluation on compositions."""

    # Folder of the dataset, with the splits train, validation and test_composition.
    data: str
    # WIDTHxHEIGHT of the videos, in pixels.
    size: str = "96x96"
    # Frames of each video.
    frames: int = 25
    # Words of the prompts: those of captions, or a phrasing that was never trained on.
    phrasing: Phrasing = "seen"


def check_options(asked: CompositionOptions) -> None:
    """Check the options; report all problems at once.

    Raises:
      ValueError: names each flag, its value and the remedy.
    """
    problems = options.problems_of(asked, (NAME,))
    if asked.cases < 2:
        problems.append(f"--cases must be >= 2, as prompts are shuffled: {asked.cases}")
    if problems:
        raise ValueError("\n".join(problems))


def main(argv: Sequence[str]) -> None:
    """Evaluate, print the table and write the results."""
    asked = cli.parse(CompositionOptions, argv, __doc__)
    check_options(asked)
    config = ClipsConfig(
        path=asked.data,
        split=SPLITS[-1],
        held_out="",
        frames=asked.frames,
        least_frames=asked.frames,
        size=cli.parse_size(asked.size),
    )
    stores = {split: open_store(config, split) for split in SPLITS}
    gallery = open_gallery(stores, seen=SPLITS[:1])
    clips = open_stored(stores[SPLITS[-1]], config)
    first = len(gallery) - len(stores[SPLITS[-1]])
    own = [first + part.clip for part in clips.excerpts]
    count = min(asked.cases, len(clips))
    asked = dataclasses.replace(asked, cases=count)
    model = subject.load_subject(asked.weights, vae_only=asked.controls_only)
    found = harness.run(
        {NAME: suite(clips, gallery, own, asked.phrasing)}, model, asked
    )
    results.report(found, asked)
