"""Gather the verdicts on many videos into one table."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from sora_jax.evals import judge, statistics

COLUMNS = {
    "model": "model",
    "truth": "truth",
    "vae": "truth through VAE",
    "shuffled": "shuffled prompt",
}
EVERYTHING = "all of a video"  # every fact that its prompt states


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A prompt, what videos show of it, and how well the VAE keeps its truth.

    Attributes:
      index: in the test split.
      prompt: the caption.
      verdicts: by column.
      psnr: of the reconstruction, "frame" and "objects", in dB.
    """

    index: int
    prompt: str
    verdicts: dict[str, list[judge.Verdict]]
    psnr: dict[str, float]

    def wrongs(self, column: str) -> int:
        """Return how many facts a video gets wrong."""
        return sum(not verdict.is_right for verdict in self.verdicts.get(column, ()))


def tally(cases: Sequence[Case]) -> dict[str, dict[str, tuple[int, int]]]:
    """Count (right, cases) by fact and column."""
    counts: dict[tuple[str, str], collections.Counter] = collections.defaultdict(
        collections.Counter
    )
    for case in cases:
        for column, verdicts in case.verdicts.items():
            for verdict in verdicts:
                counts[verdict.fact, column][verdict.is_right] += 1
            counts[EVERYTHING, column][case.wrongs(column) == 0] += 1
    return {
        fact: {
            column: (counts[fact, column][True], counts[fact, column].total())
            for column in COLUMNS
            if (fact, column) in counts
        }
        for fact in (*judge.FACTS, EVERYTHING)
        if (fact, "truth") in counts
    }


def table(cases: Sequence[Case]) -> str:
    """Lay out how often each fact is right, with 95% confidence intervals."""
    rows = [
        [
            fact,
            str(counts["truth"][1]),
            *(statistics.percent(*counts.get(column, (0, 0))) for column in COLUMNS),
        ]
        for fact, counts in tally(cases).items()
    ]
    text = statistics.markdown(["fact", "cases", *COLUMNS.values()], rows)
    if cases[0].psnr:
        frame, objects = (
            "{:.2f} ± {:.2f}".format(
                *statistics.mean_interval([case.psnr[part] for case in cases])
            )
            for part in ("frame", "objects")
        )
        text += f"\n\nVAE PSNR: {frame} dB, inside object boxes {objects} dB"
    return text


def report(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the shares, and every verdict, in a form that JSON can hold."""
    facts = {
        fact: {
            column: {
                "right": right,
                "cases": count,
                "interval": statistics.wilson(right, count),
            }
            for column, (right, count) in counts.items()
        }
        for fact, counts in tally(cases).items()
    }
    return {
        "facts": facts,
        "cases": [dataclasses.asdict(case) for case in cases],
    }
