"""The `sample.py` command: a checked job to files."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from sora_jax import cli, runtime, sharding
from sora_jax.data import outputs
from sora_jax.sampling import live, rewording
from sora_jax.sampling.checks import CheckedFlags
from sora_jax.sampling.job import Job, prepare
from sora_jax.sampling.opening import load
from sora_jax.sampling.refinement import keep
from sora_jax.sampling.rewording import Expander
from sora_jax.sampling.segments import with_prompts
from sora_jax.sampling.window_sampler import Progress, no_progress
from sora_jax.sampling.windows import Frames


def main(asked: CheckedFlags, started: float, expander: Expander | None = None) -> None:
    """Run `sample.py` and print what it writes.

    Args:
      asked: the checked flags.
      started: `time.perf_counter` at the program's start.
      expander: rewrites prompts in the vocabulary of the model's captions.
    """
    speaks = runtime.join_hosts()
    if speaks:
        runtime.show_log()
    with sharding.fail_together():
        job = prepare(asked)
    job = dataclasses.replace(job, seed=sharding.from_first_host(job.seed))
    runtime.enable_compilation_cache()
    # Standard output may be the video.
    say = functools.partial(
        cli.say, file=sys.stderr if job.live == live.STANDARD_OUTPUT else None
    )
    if speaks:
        say(job.summary)
    for path in run(job, cli.bars if speaks else no_progress, expander):
        say(path)
    if speaks:
        last = job.seed + len(job.prompts) - 1
        seeds = (
            f"seed {job.seed}" if last == job.seed else f"seeds {job.seed} to {last}"
        )
        say(f"{seeds}, {time.perf_counter() - started:.1f} s")


def run(
    job: Job, progress: Progress, expander: Expander | None = None
) -> Iterator[str]:
    """Sample the videos one by one and yield the path of each complete file.

    On several hosts, the first one writes.
    """
    model = load(
        job.weights,
        job.mesh,
        limits=job.limits,
        expander=expander,
        loras=job.loras,
        quantization=job.quantization,
    )
    for number, (prompt, out) in enumerate(zip(job.prompts, job.outs, strict=True)):
        seed = job.seed + number
        segments = model.reword(with_prompts(job.segments, (prompt,), seed))
        record = {
            "task": job.task,
            "prompt": prompt,
            "read_as": rewording.join_prompts(segments),
            "seed": seed,
            **dataclasses.asdict(job.settings),
            **job.record,
            "quantization": job.quantization,
            "weights": f"{model.config.name} {model.weights.digest}",
        }
        kept: list[Frames] = []
        chunks = model.sample(segments, progress)
        if job.refinement is not None:
            chunks = keep(chunks, kept)
        path = write(chunks, out, job.settings.fps, record, job.live)
        yield from [] if path is None else [path]
        if job.refinement is None:
            continue
        refinement, draft = job.refinement, np.concatenate(kept, axis=1)[0]
        kept.clear()
        refined = with_prompts(refinement.segments(segments, draft), (prompt,), seed)
        larger = None if path is None else refinement.beside(path)
        chunks = model.sample(model.reword(refined), progress)
        record |= refinement.record | {"draft": path}
        path = write(chunks, larger or out, refinement.settings.fps, record)
        yield from [] if path is None else [path]


def write(
    chunks: Iterator[Frames],
    out: str,
    fps: int | float,
    record: dict[str, Any],
    show: str | None = None,
) -> str | None:
    """Write a video and its sidecar; return its path, or None on other hosts.

    All hosts sample; the first one writes, and shows frames as they are made if `show`
    says where.
    """
    started = time.perf_counter()
    if jax.process_index() > 0:
        for _ in chunks:
            pass
        return None
    frames = (chunk[0] for chunk in chunks)
    if show is not None:
        frames = live.shown(frames, show, fps, started)
    path = outputs.write(out, frames, fps, field="--out")
    seconds = round(time.perf_counter() - started, 2)
    outputs.write_sidecar(path, {**record, "seconds_of_making": seconds})
    return str(path)
