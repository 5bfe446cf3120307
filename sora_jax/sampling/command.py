"""The `sample.py` command: a checked job to files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from sora_jax.data import outputs
from sora_jax.sampling.job import Job
from sora_jax.sampling.model import Progress, load


def run(job: Job, progress: Progress) -> Iterator[str]:
    """Make the videos one by one; yield each file's path when it is whole."""
    model = load(job.weights)
    for number, (prompt, out) in enumerate(zip(job.prompts, job.outs, strict=True)):
        seed = job.seed + number
        started = time.perf_counter()
        settings = model.config.sampling.asked(**job.settings)
        chunks = model.stream(
            prompt,
            condition=job.condition,
            noise=job.noise,
            seed=seed,
            progress=progress,
            **job.settings,
        )
        path = outputs.write(out, (chunk[0] for chunk in chunks), settings.fps)
        outputs.write_sidecar(
            path,
            {
                "prompt": prompt,
                "seed": seed,
                **dataclasses.asdict(settings),
                **job.files,
                "weights": f"{model.config.name} {model.weights.digest}",
                "seconds": round(time.perf_counter() - started, 2),
            },
        )
        yield str(path)
