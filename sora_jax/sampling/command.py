"""The `sample.py` command: a checked job to files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import jax

from sora_jax import cli, runtime, sharding
from sora_jax.data import outputs
from sora_jax.sampling import reading
from sora_jax.sampling.flags import Arguments
from sora_jax.sampling.job import Job, prepare
from sora_jax.sampling.window_sampler import Progress, silent
from sora_jax.sampling.model import load
from sora_jax.sampling.tasks.context import Brief


def main(arguments: Arguments, started: float) -> None:
    """Do what the flags say, and tell about it.

    Args:
      arguments: the flags.
      started: when the program was, by `time.perf_counter`.
    """
    speaks = runtime.join_hosts()
    if speaks:
        runtime.tell()
    with sharding.fail_together():
        job = prepare(arguments)
    job = dataclasses.replace(job, seed=sharding.from_first_host(job.seed))
    runtime.enable_compilation_cache()
    if speaks:
        cli.say(job.summary)
    for path in run(job, progress=cli.bars if speaks else silent):
        cli.say(path)
    if speaks:
        last = job.seed + len(job.prompts) - 1
        seeds = (
            f"seed {job.seed}" if last == job.seed else f"seeds {job.seed} to {last}"
        )
        cli.say(f"{seeds}, {time.perf_counter() - started:.1f} s")


def run(job: Job, progress: Progress) -> Iterator[str]:
    """Make the videos one by one; yield each file's path when it is whole.

    Of several hosts, the first one writes.
    """
    model = load(job.weights, job.mesh, limits=job.limits)
    for number, (prompt, out) in enumerate(zip(job.prompts, job.outs, strict=True)):
        seed = job.seed + number
        started = time.perf_counter()
        brief = Brief(
            model=model.config,
            prompts=(prompt,),
            settings=job.settings,
            seed=seed,
            noise=job.noise,
            limits=job.limits,
        )
        with sharding.fail_together():  # a task asks what memory its own host has
            parts = job.build(brief)
        parts = model.read(parts)
        chunks = model.make(parts, progress)
        if jax.process_index() > 0:
            for _ in chunks:  # made with the others, and written by the first host
                pass
            continue
        path = outputs.write(out, (chunk[0] for chunk in chunks), job.settings.fps)
        outputs.write_sidecar(
            path,
            {
                "task": job.task,
                "prompt": prompt,
                "read_as": reading.told(parts),
                "seed": seed,
                **dataclasses.asdict(job.made),
                **job.record,
                "weights": f"{model.config.name} {model.weights.digest}",
                "seconds_of_making": round(time.perf_counter() - started, 2),
            },
        )
        yield str(path)
