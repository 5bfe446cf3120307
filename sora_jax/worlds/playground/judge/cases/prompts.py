"""Videos from prompts alone: do they show the stated facts?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from sora_jax.config import PlaygroundConfig
from sora_jax.data.sources.protocol import ClipSource
from sora_jax.evals import metrics
from sora_jax.evals.case import Case, Finding, Suite, all_right
from sora_jax.sampling.tasks import Generate, build
from sora_jax.worlds.playground import captions, world
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.cases.clips import TrueClip, load_clip
from sora_jax.worlds.playground.judge.observation import Observation, observe
from sora_jax.worlds.playground.source import Playground

EVERYTHING = "all of a video"  # every fact that its prompt states
# What not all prompts state: count and scenes are judged of every video.
STATED = tuple(fact for fact in facts.FACTS if fact not in ("count", "scenes"))
_ENOUGH = 1000  # prompts to look for the first that states a fact
_BATCH = 20


_FIDELITY = ("PSNR, dB", "PSNR inside object boxes, dB")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """Which clips of the test split have the prompts.

    Attributes:
      frames: of each video: 1 (an image) or 1 + r·k, where r is the VAE's time factor.
      size: (height, width) in pixels.
      kind: of clips, in `PlaygroundConfig.kinds`; "" for the whole mixture.
      fact: that every prompt states, among others; "" for any prompts.
    """

    frames: int
    size: tuple[int, int]
    kind: str = ""
    fact: str = ""

    def source(self, seed: int) -> Playground:
        """Return the clips."""
        config = PlaygroundConfig(
            split="test",
            seed=seed,
            frames=((self.frames, 1.0),),
            sizes=((self.size, 1.0),),
        )
        if self.kind:
            config = dataclasses.replace(config, kinds=((self.kind, 1.0),))
        return Playground(config)

    def find(self, seed: int) -> Iterator[int]:
        """Find the clips whose prompts suit, in their order.

        Raises:
          ValueError: the settings are no playground's, or no prompt states the fact.
        """
        source = self.source(seed)
        if not self.fact:
            return iter(range(len(source)))
        if self.fact not in STATED:
            names = ", ".join(STATED)
            raise ValueError(f"--fact must be one of {names}, got {self.fact!r}")
        first = next(stating(source, self.fact, range(_ENOUGH)), None)
        if first is None:
            kind = f" of --kind {self.kind}" if self.kind else ""
            raise ValueError(
                f"--fact {self.fact} must be stated by prompts, and is by none of the "
                f"first {_ENOUGH}{kind} with --frames {self.frames}: ask for another "
                "kind, or for more frames"
            )
        return stating(source, self.fact, range(first, len(source)))

    def suite(self) -> Suite:
        """Return the suite of these prompts."""
        return suite(lambda seed: prompt_cases(self.source(seed), self.find(seed)))


def suite(drawn: Callable[[int], Iterator[Case]]) -> Suite:
    """Return the suite of some `prompt_cases`, which are drawn for a seed."""
    rows = (*facts.FACTS, EVERYTHING, *_FIDELITY)
    return Suite(
        cases=drawn, batch=_BATCH, shuffles=True, has_baseline=False, rows=rows
    )


def prompt_cases(source: ClipSource, indices: Iterable[int]) -> Iterator[Case]:
    """Make cases of the clips of any source whose truth is a `source.Truth`."""
    return (prompt_case(index, load_clip(source, index)) for index in indices)


def stating(source: ClipSource, fact: str, indices: Iterable[int]) -> Iterator[int]:
    """Keep the clips whose prompts state a fact."""
    for index in indices:
        truth = source.spec(index).truth
        if fact in facts.facts_stated(truth.captions, truth.scene.stretches):
            yield index


def prompt_case(index: int, sample: TrueClip) -> Case:
    """A clip from its prompt."""
    pixels = sample.pixels
    frames, height, width, _ = pixels.shape
    boxes = object_boxes(sample.scene)

    def compare(kept: np.ndarray) -> list[Finding]:
        values = (
            metrics.psnr(pixels, kept),
            metrics.psnr(pixels[boxes], kept[boxes]),
        )
        pairs = zip(_FIDELITY, values, strict=True)
        return [Finding(measure=measure, value=value) for measure, value in pairs]

    return Case(
        index=index,
        prompt=sample.prompt,
        task=build(Generate, {"frames": frames}),
        settings={"size": (height, width), "fps": sample.fps},
        fps=sample.fps,
        truth=pixels,
        given=np.zeros((frames, height, width), bool),
        baseline=np.zeros_like(pixels),
        observe=functools.partial(observe, fps=sample.fps),
        score=functools.partial(
            score, parts=sample.captions, stretches=sample.scene.stretches
        ),
        compare=compare,
    )


def score(
    observations: Sequence[Observation],
    parts: Sequence[captions.StatedCaption],
    stretches: Sequence[world.SceneStretch],
) -> list[Finding]:
    """Judge every stated fact, alone and all together."""
    found = facts.judge_facts(observations, parts, stretches)
    return [*found, all_right(found, EVERYTHING)]
