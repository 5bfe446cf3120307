"""Make videos of the test split's prompts, and read them beside the controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tqdm
from etils import epath
from jaxtyping import Float32

from sora_jax import cli
from sora_jax.config import PlaygroundConfig, Solver
from sora_jax.data import outputs, playground
from sora_jax.data.windows import object_boxes
from sora_jax.evals import fidelity, judge, read, results


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
class Options:
    """Which videos are judged."""

    # Folder of weights; by default those that ship with the package. "none" judges true
    # videos alone. With --controls-only, the workdir of a VAE run will do.
    weights: str = ""
    # Number of prompts.
    cases: int = 500
    # Of the prompts and of the noise.
    seed: int = 0
    # Frames of each video: 1 (an image) or 1 + 4k.
    frames: int = 17
    # WIDTHxHEIGHT in pixels.
    size: str = "64x64"
    # Clips of one kind alone ("one" for single objects); by default the whole mixture.
    kind: str = ""
    # How many videos are made at once. Their noise depends on it.
    batch: int = 20
    # Steps of denoising, their solver, and guidance; by default the weights' own.
    steps: int | None = None
    solver: Solver | None = None
    guidance: float | None = None
    # Generate nothing, and judge the controls alone.
    controls_only: bool = False
    # A JSON file for the shares and every verdict; never overwritten.
    out: str = ""
    # A folder for the worst videos.
    save: str = ""
    # How many of them to save.
    worst: int = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
      cases: one for each prompt.
      worst: the videos with most facts wrong, by case, the worst first.
    """

    cases: list[results.Case]
    worst: dict[int, Float32[np.ndarray, "t h w 3"]]


def check(options: Options) -> None:
    """Refuse what cannot be judged or written, all problems at once.

    Raises:
      ValueError: names each flag, its value and the remedy.
    """
    problems = []
    if options.cases < 2:
        problems.append(
            f"--cases must be >= 2, as prompts are shuffled, got {options.cases}"
        )
    for flag in ("batch", "worst"):
        if getattr(options, flag) < 1:
            problems.append(f"--{flag} must be >= 1, got {getattr(options, flag)}")
    if options.save and (options.controls_only or options.weights == "none"):
        problems.append(
            f"--save {options.save!r} needs videos of a model: leave it out, or "
            "--controls-only and --weights none"
        )
    if options.kind == "turn":
        problems.append(
            "--kind turn has two captions and one scene, which this judge does not "
            "take apart: see python -m sora_jax.evals.operations --tasks storyboard"
        )
    if options.out and not options.out.endswith(".json"):
        problems.append(f"--out must end in .json, got {options.out!r}")
    if options.steps is not None and options.steps < 1:
        problems.append(f"--steps must be >= 1, got {options.steps}")
    checks = (
        lambda: source(options),
        lambda: options.out and outputs.check_folder(options.out, field="--out"),
        lambda: options.save and outputs.check_folder(_worst(options, 0), "--save"),
    )
    for attempt in checks:
        try:
            attempt()
        except ValueError as error:
            problems.append(_as_flags(str(error)))
    if problems:
        raise ValueError("\n".join(problems))


def _as_flags(problem: str) -> str:
    """Name the flags where the playground's settings are named."""
    flags = {"frames": "frames", "sizes": "size", "seed": "seed", "kinds": "kind"}
    for field, flag in flags.items():
        problem = problem.replace(f"data.{field}", f"--{flag}")
    return problem


def source(options: Options) -> playground.Playground:
    """Return the test clips."""
    config = PlaygroundConfig(
        split="test",
        seed=options.seed,
        frames=((options.frames, 1.0),),
        sizes=((cli.parse_size(options.size), 1.0),),
    )
    if options.kind:
        config = dataclasses.replace(config, kinds=((options.kind, 1.0),))
    return playground.Playground(config)


def evaluate(options: Options, model: Model | None = None) -> Outcome:
    """Judge videos and controls.

    Args:
      options: which videos; `check` has passed them.
      model: what is measured; None judges true videos alone.
    """
    clips = source(options)
    cases: list[results.Case] = []
    truths: list[playground.Sample] = []  # without their pixels
    seen: list[Sequence[read.Reading]] = []  # what other prompts are held against
    worst: list[tuple[int, int, np.ndarray]] = []  # (-wrongs, case, video)
    starts = range(0, options.cases, options.batch)
    for start in tqdm.tqdm(starts, desc="judging", unit="batch"):
        stop = min(start + options.batch, options.cases)
        samples = [clips[index] for index in range(start, stop)]
        videos = dict(_videos(samples, options, model, options.seed + start))
        for number, sample in enumerate(samples):
            mine = {name: pixels[number] for name, pixels in videos.items()}
            readings = {
                name: read.read(pixels, sample.clip.fps)
                for name, pixels in mine.items()
            }
            seen.append(readings.get("model", readings["truth"]))
            truths.append(_without_pixels(sample))
            cases.append(_case(start + number, sample, readings, mine))
            if "model" in mine:
                wrongs = cases[-1].wrongs("model")
                worst.append((-wrongs, start + number, mine["model"]))
        worst = sorted(worst, key=lambda item: item[:2])[: options.worst]
    for case in cases:
        other = seen[(case.index + 1) % len(seen)]
        case.verdicts["shuffled"] = _judge(other, truths[case.index])
    return Outcome(cases=cases, worst={index: video for _, index, video in worst})


def save_worst(outcome: Outcome, options: Options) -> None:
    """Write the worst videos, each beside its prompt and verdicts."""
    fps = source(options).config.fps
    for index, pixels in outcome.worst.items():
        case = outcome.cases[index]
        path = outputs.write(_worst(options, index), [pixels], fps, field="--save")
        verdicts = [dataclasses.asdict(verdict) for verdict in case.verdicts["model"]]
        outputs.write_sidecar(
            path, {"prompt": case.prompt, "verdicts": verdicts}, field="--save"
        )


def _worst(options: Options, index: int) -> epath.Path:
    return epath.Path(options.save) / f"case_{index:05d}.mp4"


def _without_pixels(sample: playground.Sample) -> playground.Sample:
    # A copy, since a view would keep all of them.
    clip = dataclasses.replace(sample.clip, pixels=sample.clip.pixels[:1].copy())
    return dataclasses.replace(sample, clip=clip)


def _videos(
    samples: Sequence[playground.Sample],
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


def settings_asked(options: Options) -> dict[str, Any]:
    """How videos are made otherwise than the weights say."""
    given = {name: getattr(options, name) for name in ("steps", "solver", "guidance")}
    return {name: value for name, value in given.items() if value is not None}


def _case(
    index: int,
    sample: playground.Sample,
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


def _judge(
    readings: Sequence[read.Reading], sample: playground.Sample
) -> list[judge.Verdict]:
    return judge.judge(readings, sample.captions, sample.scene.stretches)
