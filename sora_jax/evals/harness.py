"""Try every operation on clips of the test split, and look at what comes back."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tqdm

from sora_jax.data import outputs
from sora_jax.evals import clips
from sora_jax.evals.operated import Case, Clip, Model, Task
from sora_jax.evals.operation_options import Options, chosen, video_path
from sora_jax.evals.operation_results import Outcome

_LATENT = 4  # frames; the world's clips have 1 + 4k


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """What came of it.

    Attributes:
      outcomes: one for each case, task by task.
      worst: the videos that fail most measures, by task and index.
    """

    outcomes: list[Outcome]
    worst: dict[tuple[str, int], Clip]


def measure(model: Model | None, options: Options) -> Results:
    """Try the tasks, and look at each video and at the controls beside it.

    Args:
      model: what is measured; None looks at the controls that need none.
      options: what is tried; `check` has passed them.
    """
    outcomes: list[Outcome] = []
    worst: dict[tuple[str, int], Clip] = {}
    for name, task in chosen(options).items():
        found: list[tuple[Outcome, Clip | None]] = []
        for outcome, clip in tqdm.tqdm(
            _tried(name, task, model, options), name, total=_count(task, options)
        ):
            outcomes.append(outcome)
            found.append((outcome, clip))
            found.sort(key=lambda pair: -pair[0].wrongs("model"))
            del found[options.worst :]
        worst |= {(name, item.index): clip for item, clip in found if clip is not None}
    return Results(outcomes=outcomes, worst=worst)


def _count(task: Task, options: Options) -> int:
    return max(1, options.cases // task.every)


def draw(task: Task, options: Options) -> Iterator[Case]:
    """Make the cases of a task, one by one."""
    found = itertools.islice(task.clips(options.seed), _count(task, options))
    return (task.build(index, sample) for index, sample in found)


def _tried(
    name: str, task: Task, model: Model | None, options: Options
) -> Iterator[tuple[Outcome, Clip | None]]:
    """Yield what is found in each case, and the model's video."""
    cases, done = draw(task, options), 0
    while batch := list(
        itertools.islice(cases, options.batch if task.generates else 1)
    ):
        settings: dict[str, Any] = {"seed": options.seed + done}
        if options.steps:
            settings["steps"] = options.steps
        start = time.monotonic()
        videos = [None] * len(batch)
        if model is not None:
            videos = _make(model, task, batch, settings)
        seconds = (time.monotonic() - start) / len(batch)
        for number, (case, video) in enumerate(zip(batch, videos, strict=True), done):
            shown = _controls(case, model) if number < options.controls else {}
            if video is not None:
                shown["model"] = video
            outcome = Outcome(
                task=name,
                index=case.index,
                prompt=case.prompt,
                findings={column: case.look(clip) for column, clip in shown.items()},
                seconds=seconds,
            )
            yield outcome, video
        done += len(batch)


def _make(
    model: Model, task: Task, cases: Sequence[Case], settings: dict[str, Any]
) -> list[Clip]:
    """Ask a model for videos, together where `generate` makes them.

    Raises:
      ValueError: a video is not of the shape that was asked for.
    """
    if task.generates:
        prompts = [case.prompt for case in cases]
        made = list(model.generate(prompts, **task.generates, **settings))
    else:
        made = [case.make(model, **settings) for case in cases if case.make]
    for case, clip in zip(cases, made, strict=True):
        if clip.shape != case.idle.shape:
            raise ValueError(
                f"the model made {clip.shape} of clip {case.index}, where "
                f"{case.idle.shape} was asked for: this is a fault of the operation"
            )
    return [np.clip(np.asarray(clip, np.float32), -1.0, 1.0) for clip in made]


def _controls(case: Case, model: Model | None) -> dict[str, Clip]:
    """What is looked at beside the model's video, by column."""
    shown = {"idle": case.idle}
    if case.truth is not None:
        shown["truth"] = case.truth
        if model is not None:
            kept = _through_vae(case.truth, model)
            shown["vae"] = np.where(case.known[..., None], case.truth, kept)
    return shown


def _through_vae(clip: Clip, model: Model) -> Clip:
    """Encode and decode a clip, whose last frame stands until latents are full."""
    last = np.repeat(clip[-1:], -(len(clip) - 1) % _LATENT, axis=0)
    kept = model.reconstruct(np.concatenate([clip, last])[None])[0, : len(clip)]
    return np.clip(np.asarray(kept, np.float32), -1.0, 1.0)


def save_worst(results: Results, options: Options) -> None:
    """Write the worst videos, each beside its prompt and what was found."""
    outcomes = {(item.task, item.index): item for item in results.outcomes}
    for (task, index), clip in results.worst.items():
        path = outputs.write(
            video_path(options, task, index), [clip], clips.FPS, field="--save"
        )
        outcome = outcomes[task, index]
        found = [dataclasses.asdict(item) for item in outcome.findings["model"]]
        content = {"prompt": outcome.prompt, "findings": found}
        outputs.write_sidecar(path, content, field="--save")
