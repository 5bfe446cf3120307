"""Make videos of the test split's prompts, and read them beside the controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tqdm
from jaxtyping import Float32

from sora_jax import cli
from sora_jax.data import outputs
from sora_jax.evals import fidelity, judge, read, results
from sora_jax.evals.playground_options import (
    Options,
    clips_of,
    settings_asked,
    source,
    video_path,
)
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.source import Sample


@runtime_checkable  # since the tests check types at run time
class Model(Protocol):
    """What is measured; without prompts it need not generate."""

    def generate(
        self,
        prompts: list[str],
        *,
        frames: int,
        size: tuple[int, int],
        fps: float,
        seed: int,
        **settings: Any,
    ) -> np.ndarray:
        """Make a video for each prompt: `[b t h w 3]` in [-1, 1]."""
        ...

    def reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        """Encode and decode `[b t h w 3]`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
      cases: one for each prompt.
      worst: the videos with most facts wrong, by place in `cases`, the worst first.
    """

    cases: list[results.Case]
    worst: dict[int, Float32[np.ndarray, "t h w 3"]]


def evaluate(options: Options, model: Model | None = None) -> Outcome:
    """Judge videos and controls.

    Args:
      options: which videos; `check` has passed them.
      model: what is measured; None judges true videos alone.
    """
    clips, chosen = source(options), clips_of(options)
    cases: list[results.Case] = []
    truths: list[Sample] = []  # without their pixels
    seen: list[Sequence[read.Reading]] = []  # what other prompts are held against
    worst: list[tuple[int, int, np.ndarray]] = []  # (-wrongs, place in cases, video)
    starts = range(0, len(chosen), options.batch)
    for start in tqdm.tqdm(starts, desc="judging", unit="batch"):
        samples = [clips[index] for index in chosen[start : start + options.batch]]
        videos = dict(_videos(samples, options, model, options.seed + start))
        for number, sample in enumerate(samples):
            mine = {name: pixels[number] for name, pixels in videos.items()}
            readings = {
                name: read.read(pixels, sample.clip.fps)
                for name, pixels in mine.items()
            }
            seen.append(readings.get("model", readings["truth"]))
            truths.append(_without_pixels(sample))
            index = chosen[start + number]
            cases.append(_case(index, sample, readings, mine))
            if "model" in mine:
                wrongs = cases[-1].wrongs("model")
                worst.append((-wrongs, start + number, mine["model"]))
        worst = sorted(worst, key=lambda item: item[:2])[: options.worst]
    for number, case in enumerate(cases):
        other = seen[(number + 1) % len(seen)]
        case.verdicts["shuffled"] = _judge(other, truths[number])
    return Outcome(cases=cases, worst={number: video for _, number, video in worst})


def save_worst(outcome: Outcome, options: Options) -> None:
    """Write the worst videos, each beside its prompt and verdicts."""
    fps = source(options).config.fps
    for number, pixels in outcome.worst.items():
        case = outcome.cases[number]
        path = video_path(options, case.index)
        path = outputs.write(path, [pixels], fps, field="--save")
        verdicts = [dataclasses.asdict(verdict) for verdict in case.verdicts["model"]]
        outputs.write_sidecar(
            path, {"prompt": case.prompt, "verdicts": verdicts}, field="--save"
        )


def _without_pixels(sample: Sample) -> Sample:
    # A copy, since a view would keep all of them.
    clip = dataclasses.replace(sample.clip, pixels=sample.clip.pixels[:1].copy())
    return dataclasses.replace(sample, clip=clip)


def _videos(
    samples: Sequence[Sample],
    options: Options,
    model: Model | None,
    seed: int,
) -> Iterator[tuple[str, Float32[np.ndarray, "b t h w 3"]]]:
    """Yield what is looked at, by column."""
    truth = np.stack([sample.clip.pixels for sample in samples])
    yield "truth", truth
    if model is None:
        return
    # Every batch is full, so that nothing is compiled twice.
    full = np.arange(min(options.batch, options.cases)) % len(samples)
    made = np.asarray(model.reconstruct(truth[full]), np.float32)
    yield "vae", np.clip(made, -1.0, 1.0)[: len(samples)]
    if not options.controls_only:
        made = model.generate(
            [samples[number].clip.caption for number in full.tolist()],
            frames=options.frames,
            size=cli.parse_size(options.size),
            fps=samples[0].clip.fps,
            seed=seed,
            **settings_asked(options),
        )
        made = np.asarray(made, np.float32)
        yield "model", np.clip(made, -1.0, 1.0)[: len(samples)]


def _case(
    index: int,
    sample: Sample,
    readings: dict[str, tuple[read.Reading, ...]],
    videos: dict[str, Float32[np.ndarray, "t h w 3"]],
) -> results.Case:
    psnr = {}
    if "vae" in videos:
        truth, made = videos["truth"], videos["vae"]
        mask = object_boxes(sample.scene)
        psnr = {
            "frame": fidelity.psnr(truth, made),
            "objects": fidelity.psnr(truth[mask], made[mask]),
        }
    return results.Case(
        index=index,
        prompt=sample.clip.caption,
        verdicts={name: _judge(reading, sample) for name, reading in readings.items()},
        psnr=psnr,
    )


def _judge(readings: Sequence[read.Reading], sample: Sample) -> list[judge.Verdict]:
    return judge.judge(readings, sample.captions, sample.scene.stretches)
