"""Gather what was found in many videos into one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sora_jax.evals import statistics
from sora_jax.evals.findings import Finding

COLUMNS = {
    "model": "model",
    "truth": "truth",
    "vae": "truth through VAE",
    "idle": "nothing made",
}
# By task and measure, by column.
Tally = dict[tuple[str, str], dict[str, list[Finding]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found in a case.

    Attributes:
      task: the operation.
      index: of the clip in the test split.
      prompt: what the model was told.
      findings: by column.
      seconds: that the model took; of a batch, its share.
    """

    task: str
    index: int
    prompt: str
    findings: dict[str, list[Finding]]
    seconds: float

    def wrongs(self, column: str) -> int:
        """Return how many measures a video fails."""
        return sum(item.is_right is False for item in self.findings.get(column, ()))


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """Gather the findings of each measure, in the order of the table."""
    gathered: Tally = {}
    for outcome in outcomes:
        for column in COLUMNS:
            for finding in outcome.findings.get(column, ()):
                row = gathered.setdefault((outcome.task, finding.measure), {})
                row.setdefault(column, []).append(finding)
    return gathered


def table(outcomes: Sequence[Outcome]) -> str:
    """Lay out shares, and means of numbers, with 95% confidence intervals."""
    rows = [
        [
            f"{task}: {measure}",
            str(max(len(found) for found in row.values())),
            *(_cell(row.get(column, [])) for column in COLUMNS),
        ]
        for (task, measure), row in tally(outcomes).items()
    ]
    return statistics.markdown(["measure", "cases", *COLUMNS.values()], rows)


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the shares, and every finding, in a form that JSON can hold."""
    measures: dict[str, dict[str, Any]] = {}
    for (task, measure), row in tally(outcomes).items():
        columns = {column: _numbers(found) for column, found in row.items()}
        measures.setdefault(task, {})[measure] = columns
    return {
        "measures": measures,
        "cases": [dataclasses.asdict(outcome) for outcome in outcomes],
    }


def _is_share(found: Sequence[Finding]) -> bool:
    return all(item.is_right is not None for item in found)


def _right(found: Sequence[Finding]) -> int:
    return sum(item.is_right is True for item in found)


def _values(found: Sequence[Finding]) -> list[float]:
    return [item.value for item in found if item.value is not None]


def _cell(found: Sequence[Finding]) -> str:
    if not found:
        return "–"
    if _is_share(found):
        return statistics.percent(_right(found), len(found))
    mean, half = statistics.mean_interval(_values(found))
    return f"{mean:.2f}" if len(found) == 1 else f"{mean:.2f} ± {half:.2f}"


def _numbers(found: Sequence[Finding]) -> dict[str, Any]:
    if _is_share(found):
        interval = statistics.wilson(_right(found), len(found))
        return {"right": _right(found), "cases": len(found), "interval": interval}
    mean, half = statistics.mean_interval(_values(found))
    # JSON has no NaN, which is how sure a single number is.
    interval = (mean - half, mean + half) if len(found) > 1 else None
    return {"mean": mean, "cases": len(found), "interval": interval}
