"""The `sample.py` command: a checked job to files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import jax

from sora_jax.data import outputs
from sora_jax.sampling import reading
from sora_jax.sampling.job import Job
from sora_jax.sampling.making import Progress
from sora_jax.sampling.model import load
from sora_jax.sampling.tasks.brief import Brief


def run(job: Job, progress: Progress) -> Iterator[str]:
    """Make the videos one by one; yield each file's path when it is whole.

    Of several hosts, the first one writes.
    """
    model = load(job.weights, job.mesh)
    for number, (prompt, out) in enumerate(zip(job.prompts, job.outs, strict=True)):
        seed = job.seed + number
        started = time.perf_counter()
        brief = Brief(
            model=model.config,
            prompts=(prompt,),
            settings=job.settings,
            seed=seed,
            noise=job.noise,
        )
        chunks = model.perform(job.build(brief), progress)
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
                "read_as": reading.words_read(prompt, model.config, job.made.frames),
                "seed": seed,
                **dataclasses.asdict(job.made),
                **job.record,
                "weights": f"{model.config.name} {model.weights.digest}",
                "seconds_of_making": round(time.perf_counter() - started, 2),
            },
        )
        yield str(path)
