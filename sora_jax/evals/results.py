"""Aggregate findings of many videos to a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sora_jax import workdir
from sora_jax.data import outputs
from sora_jax.evals import statistics
from sora_jax.evals.case import Clip, Finding
from sora_jax.evals.options import EvalOptions, video_path

COLUMNS = {
    "model": "model",
    "truth": "truth",
    "vae": "truth through VAE",
    "baseline": "baseline",
    "shuffled": "shuffled prompt",
}
# By task and measure, by column.
Tally = dict[tuple[str, str], dict[str, list[Finding]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The findings of a case.

    Attributes:
      task: the suite.
      index: of the clip in its source.
      prompt: for the model.
      fps: frames per second of the videos.
      findings: by column.
      seconds: sampling time; in a batch, its share.
    """

    task: str
    index: int
    prompt: str
    fps: float
    findings: dict[str, list[Finding]]
    seconds: float

    def wrongs(self, column: str) -> int:
        """Return how many measures a video fails."""
        return sum(item.is_right is False for item in self.findings.get(column, ()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """The results of an evaluation.

    Attributes:
      outcomes: one for each case, suite by suite.
      worst: videos that fail most measures, by suite and index, worst first.
      rows: of each suite, measures in the order of the table.
    """

    outcomes: Sequence[Outcome]
    worst: Mapping[tuple[str, int], Clip]
    rows: Mapping[str, tuple[str, ...]]


def tally(results: Results) -> Tally:
    """Gather the findings of each measure, in the order of the table."""
    gathered: Tally = {
        (task, measure): {} for task, rows in results.rows.items() for measure in rows
    }
    for outcome in results.outcomes:
        for column in COLUMNS:
            for finding in outcome.findings.get(column, ()):
                row = gathered.setdefault((outcome.task, finding.measure), {})
                row.setdefault(column, []).append(finding)
    return {key: row for key, row in gathered.items() if row}


def table(results: Results) -> str:
    """Format shares and means with 95% confidence intervals."""
    found = tally(results)
    shown = [
        column for column in COLUMNS if any(column in row for row in found.values())
    ]
    rows = [
        [
            measure if len(results.rows) == 1 else f"{task}: {measure}",
            str(max(len(items) for items in row.values())),
            *(_cell(row.get(column, [])) for column in shown),
        ]
        for (task, measure), row in found.items()
    ]
    header = ["measure", "cases", *(COLUMNS[column] for column in shown)]
    return statistics.markdown(header, rows)


def to_json(results: Results) -> dict[str, Any]:
    """Return the shares and every finding as JSON data."""
    measures: dict[str, dict[str, Any]] = {}
    for (task, measure), row in tally(results).items():
        columns = {column: _numbers(found) for column, found in row.items()}
        measures.setdefault(task, {})[measure] = columns
    return {
        "measures": measures,
        "cases": [dataclasses.asdict(outcome) for outcome in results.outcomes],
    }


def report(found: Results, asked: EvalOptions) -> None:
    """Print the table; write the results and the worst videos where asked."""
    print(table(found))
    if asked.out:
        path = outputs.free_path(asked.out)
        content = {"options": dataclasses.asdict(asked)}
        workdir.write_json(path, content | to_json(found))
        print(path)
    if asked.save:
        save_worst(found, asked)


def save_worst(results: Results, options: EvalOptions) -> None:
    """Write the worst videos, each with its prompt and findings."""
    outcomes = {(item.task, item.index): item for item in results.outcomes}
    for (task, index), clip in results.worst.items():
        outcome = outcomes[task, index]
        path = video_path(options, task, index)
        path = outputs.write(path, [clip], outcome.fps, field="--save")
        found = [dataclasses.asdict(item) for item in outcome.findings["model"]]
        content = {"prompt": outcome.prompt, "findings": found}
        outputs.write_sidecar(path, content, field="--save")


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
    # JSON has no NaN, the interval of a single number.
    interval = (mean - half, mean + half) if len(found) > 1 else None
    return {"mean": mean, "cases": len(found), "interval": interval}
