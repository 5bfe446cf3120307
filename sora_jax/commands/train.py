"""The `train.py` program: train from a config, or continue a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax

from sora_jax import cli, runtime, sharding
from sora_jax.commands.sources import (
    open_joined,
    open_sources,
    open_training,
)
from sora_jax.config import (
    DiTRun,
    EncodeRun,
    FineTune,
    RunConfig,
    Series,
    VAERun,
)
from sora_jax.sampling.preview import sample_media
from sora_jax.training import dit, encode, finetune, loop, vae
from sora_jax.weights import finetuned

STOPPED = "stopped; the same command continues from the last checkpoint, if any"


def main(argv: Sequence[str]) -> None:
    """Parse, then call."""
    config, workdir = cli.parse_run(argv)
    speaks = runtime.join_hosts()
    runtime.enable_compilation_cache()
    if isinstance(config, Series):
        runs = [(*stage, cli.load_config(stage[0])) for stage in config.stages]
        for location, folder, run in runs:
            if speaks:
                cli.say(f"{location}: {workdir}/{folder}")
            train(config.placed(run, workdir), f"{workdir}/{folder}")
    else:
        train(config, workdir)
    if speaks:
        cli.say(f"done: {workdir}")


def train(config: object, workdir: str) -> None:
    """Start or continue a run."""
    if isinstance(config, RunConfig):
        runtime.set_cpu_matmul_dtype(config.cpu_matmul_dtype)
    match config:
        case EncodeRun():
            with sharding.fail_together():
                sources = open_sources(config.data, config.held_out_clips)
                captioned = list(map(open_training, config.tokenizer_data))
            encode.encode(config, workdir, sources, captioned)
        case VAERun():
            with sharding.fail_together():
                sources = open_joined(config.data, config.more_data, vae.HELD_OUT_CLIPS)
            set_up = partial(vae.set_up, config, sources=sources)
            loop.train(config, workdir, set_up)
        case DiTRun():
            sample = partial(sample_media, config)
            loop.train(config, workdir, partial(dit.set_up, config, sample=sample))
        case FineTune():
            runs = finetune.stages(config, workdir)
            train(runs.encode, f"{workdir}/{finetune.LATENTS}")
            train(runs.train, f"{workdir}/{finetune.DIT}")
            path = finetuned.save_result(
                f"{workdir}/{finetune.DIT}", workdir, peft=config.peft
            )
            if jax.process_index() == 0:
                cli.say(path)
        case _:
            raise ValueError(
                f"get_config() returned {type(config).__name__}, not a run: "
                "return a VAERun, an EncodeRun, a DiTRun or a FineTune"
            )
