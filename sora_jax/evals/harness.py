"""Run suites: sample the videos of cases, and score them beside controls."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from sora_jax.evals.case import Case, Clip, Finding, Suite
from sora_jax.evals.options import EvalOptions, settings_overrides
from sora_jax.evals.results import Outcome, Results
from sora_jax.evals.subject import Subject, through_vae

# (score function, observation) of a case.
Scored = tuple[Callable[[Any], list[Finding]], Any]


def run(
    suites: Mapping[str, Suite], subject: Subject | None, options: EvalOptions
) -> Results:
    """Run suites; score every video and its controls.

    Args:
      suites: by name.
      subject: model to evaluate; None scores only the controls that need no model.
      options: number of cases, and settings.
    """
    outcomes: list[Outcome] = []
    worst: dict[tuple[str, int], Clip] = {}
    for name, suite in suites.items():
        found: list[Outcome] = []
        scored: list[Scored] = []
        videos: list[tuple[int, int, Clip]] = []  # (-wrongs, which case, video)
        cases = _cases_with_videos(suite, subject, options)
        count = _count(suite, options)
        for case, shown, seconds in tqdm.tqdm(cases, name, total=count):
            outcome, observed = _outcome(name, case, shown, seconds)
            if "model" in shown:
                item = (-outcome.wrongs("model"), len(found), shown["model"])
                videos = sorted([*videos, item], key=lambda kept: kept[:2])
                videos = videos[: options.worst]
            found.append(outcome)
            if observed:
                scored.append(
                    (case.score, observed.get("model", observed.get("truth")))
                )
        if suite.shuffles:
            found[: len(scored)] = _shuffled(found, scored, options)
        outcomes += found
        worst |= {(name, found[number].index): clip for _, number, clip in videos}
    rows = {name: tuple(suite.rows) for name, suite in suites.items()}
    return Results(outcomes=outcomes, worst=worst, rows=rows)


def draw_cases(suite: Suite, options: EvalOptions) -> Iterator[Case]:
    """Draw the cases of a suite, one by one."""
    return itertools.islice(suite.cases(options.seed), _count(suite, options))


def _count(suite: Suite, options: EvalOptions) -> int:
    return max(1, options.cases // suite.every)


def _cases_with_videos(
    suite: Suite, subject: Subject | None, options: EvalOptions
) -> Iterator[tuple[Case, dict[str, Clip], float]]:
    """Yield each case, its videos by column, and the model's seconds."""
    cases = draw_cases(suite, options)
    size = (options.batch or suite.batch) if suite.batch > 1 else 1
    size = min(size, _count(suite, options))
    controls = options.cases if options.controls is None else options.controls
    done = 0
    while batch := list(itertools.islice(cases, size)):
        # Every batch is full, so that nothing is compiled twice.
        full = [batch[number % len(batch)] for number in range(size)]
        start = time.monotonic()
        videos: Sequence[Clip | None] = [None] * size
        if subject is not None and subject.perform is not None:
            settings = {"seed": options.seed + done, **settings_overrides(options)}
            videos = _perform(subject.perform, full, settings)
        seconds = (time.monotonic() - start) / len(batch)
        kept: Sequence[Clip | None] = [None] * size
        if subject is not None and batch[0].truth is not None and done < controls:
            kept = through_vae(subject, [c.truth for c in full if c.truth is not None])
        for number, case in enumerate(batch):
            shown = {}
            if done + number < controls:
                shown = _controls(suite, case, kept[number])
            if (video := videos[number]) is not None:
                shown["model"] = video
            yield case, shown, seconds
        done += len(batch)


def _perform(
    perform: Callable[..., list[np.ndarray]],
    cases: Sequence[Case],
    settings: dict[str, Any],
) -> list[Clip]:
    """Sample the videos of a batch.

    Raises:
      ValueError: a video has another shape than requested.
    """
    prompts = [case.prompt for case in cases]
    task = cases[0].task
    clips = perform(task, prompts, **cases[0].settings, **settings)
    for case, clip in zip(cases, clips, strict=True):
        if clip.shape != case.baseline.shape:
            raise ValueError(
                f"{task.name} made {clip.shape} of clip {case.index}, where "
                f"{case.baseline.shape} was requested: this is a bug of the task"
            )
    return [np.clip(np.asarray(clip, np.float32), -1.0, 1.0) for clip in clips]


def _controls(suite: Suite, case: Case, kept: Clip | None) -> dict[str, Clip]:
    """Return the videos to score beside the model's, by column."""
    shown = {"baseline": case.baseline} if suite.has_baseline else {}
    if case.truth is not None:
        shown["truth"] = case.truth
        if kept is not None:
            shown["vae"] = np.where(case.given[..., None], case.truth, kept)
    return shown


def _outcome(
    name: str, case: Case, shown: dict[str, Clip], seconds: float
) -> tuple[Outcome, dict[str, Any]]:
    """Score the videos of a case; also return the observations."""
    observed = {column: case.observe(clip) for column, clip in shown.items()}
    findings = {column: case.score(seen) for column, seen in observed.items()}
    if case.compare is not None and "vae" in shown:
        findings["vae"] += case.compare(shown["vae"])
    outcome = Outcome(
        task=name,
        index=case.index,
        prompt=case.prompt,
        fps=case.fps,
        findings=findings,
        seconds=seconds,
    )
    return outcome, observed


def _shuffled(
    outcomes: Sequence[Outcome], scored: Sequence[Scored], options: EvalOptions
) -> list[Outcome]:
    """Score each video by the prompt of the case before it, as another control."""
    controls = len(scored) if options.controls is None else options.controls
    found = []
    for number, (score, _) in enumerate(scored):
        findings = dict(outcomes[number].findings)
        if number < controls:
            _, other = scored[(number + 1) % len(scored)]
            findings["shuffled"] = score(other)
        found.append(dataclasses.replace(outcomes[number], findings=findings))
    return found
