"""Encode clips once, to the latent cache that DiT training reads.

The VAE encodes each clip, and again with random pixels grey, for conditioning channels.
The folder also gets the VAE, with the measured mean and deviation of its latents, and
the tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import tqdm
from etils import epath
from flax import nnx

from sora_jax import sharding
from sora_jax.config import EncodeRun, VAEConfig, to_json, updated_config
from sora_jax.data import backgrounds
from sora_jax.data.records import Serialized, has_shard, serialize, write_serialized
from sora_jax.data.sources.protocol import ClipSource, ClipSpec, Sources
from sora_jax.files import PathLike
from sora_jax.locking import Lock, only_run
from sora_jax.models.tokenizer import Tokenizer, train_tokenizer
from sora_jax.training.encode_clips import (
    EncodeClips,
    by_shape,
    captions_of,
    check_clips,
    encode_group,
)
from sora_jax.training.encode_quality import report_reconstruction
from sora_jax.training.encode_texts import encode_texts
from sora_jax.training.latent_statistics import measure_latents
from sora_jax.weights import bundle, folders, workdirs
from sora_jax.workdir import (
    check_shared,
    keep_config,
    read_json,
    refuse_other_config,
    write_json,
)

SHARD_BEFORE = 1024  # clips of a shard up to version 0.1, where it was no field


def encode(
    config: EncodeRun,
    workdir: str,
    sources: Sources,
    captioned: Sequence[ClipSource] = (),
) -> None:
    """Encode the training and the held-out clips; resumes an interrupted run.

    Several hosts share the shards of a folder that all of them see. The first measures
    the latents and trains the tokenizer.

    Args:
      config: the run.
      workdir: the folder to fill.
      sources: the clips of `config.data`.
      captioned: those of `config.tokenizer_data`.

    Raises:
      ValueError: the workdir has clips of another config or of other files, or the VAE
        is missing.
    """
    check_shared(workdir)
    is_first = jax.process_index() == 0
    with only_run(workdir, is_first) as lock:
        # After each block the hosts have waited for one another.
        with sharding.fail_together():
            refuse_other_config(workdir, to_json(config), update=_of_today)
            refuse_other_clips(workdir, sources)
        with sharding.fail_together():
            if is_first:
                prepare(config, workdir, sources, captioned)
        with sharding.fail_together():
            encode_splits(config, workdir, sources, lock)
        with sharding.fail_together():
            if config.text_from and is_first:
                encode_texts(config, workdir, lock)


def _of_today(before: dict[str, Any]) -> dict[str, Any]:
    """Update a config of an earlier version, whose shards had one length."""
    return updated_config(EncodeRun, {"shard": SHARD_BEFORE, **before})


def prepare(
    config: EncodeRun, workdir: str, sources: Sources, captioned: Sequence[ClipSource]
) -> None:
    """Write what all clips share: the VAE with its statistics, and the tokenizer."""
    folder = epath.Path(workdir)
    if not (folder / "vae.safetensors").exists():
        vae = workdirs.load_vae(config.vae)
        check_clips(_first_specs(sources.train, config.statistics_clips), vae.config)
        keep_config(workdir, to_json(config))
        write_json(folder / workdirs.CLIPS, clips_of(sources))
        # Weights bring their own statistics, on which their DiT was trained.
        if bool((vae.latent_std[...] != 1).any()):  # it may not know these clips
            report_reconstruction(vae, config, sources.held_out)
        else:
            vae = measure_latents(vae, config, sources.train)
        bundle.save_vae(folder, vae, workdirs.describe_vae(config.vae))
    if not (folder / "tokenizer.model").exists():
        bundle.save_tokenizer(
            folder, make_tokenizer(config, (sources.train, *captioned))
        )


def clips_of(sources: Sources) -> dict[str, Any]:
    """Return how many clips are encoded, and the hash of stored ones."""
    counts = {"train": len(sources.train), "held_out": len(sources.held_out)}
    return {**counts, "hash": sources.digest}


def refuse_other_clips(workdir: str, sources: Sources) -> None:
    """Refuse to continue with other clips than those that were encoded so far.

    Raises:
      ValueError: the dataset has changed.
    """
    path = epath.Path(workdir) / workdirs.CLIPS
    if not path.exists():
        return
    before = read_json(path, "delete the folder, and encode again")
    if before != clips_of(sources):
        raise ValueError(
            f"--workdir {workdir!r} holds clips of other files ({before['train']} "
            f"training clips, now {len(sources.train)}): give another --workdir, or "
            "put the former files back"
        )


def make_tokenizer(config: EncodeRun, sources: Sequence[ClipSource]) -> Tokenizer:
    """Load the config's tokenizer, or train one on captions."""
    if config.tokenizer:
        return folders.load_tokenizer(config.tokenizer)
    texts = (
        text
        for source in sources
        for spec in _first_specs(source, config.tokenizer_clips)
        for text in _texts(spec)
    )
    return train_tokenizer(texts, vocab_size=config.vocabulary)


def encode_splits(
    config: EncodeRun, workdir: PathLike, sources: Sources, lock: Lock
) -> None:
    """Encode this host's shards of the held-out and of the training clips."""
    vae = workdirs.load_vae(workdir)
    graphdef, params = nnx.split(vae)
    run = jax.jit(lambda p, clips: nnx.merge(graphdef, p).encode(clips)[0])
    encode_clips = partial(run, params)
    folder = epath.Path(workdir)
    for name, source in (("held_out", sources.held_out), ("train", sources.train)):
        encode_split(config, source, folder / name, encode_clips, vae.config, lock)


def encode_split(
    config: EncodeRun,
    source: ClipSource,
    folder: PathLike,
    run: EncodeClips,
    vae: VAEConfig,
    lock: Lock,
) -> None:
    """Encode this host's shards of a split, one by one; skips complete shards."""
    name = epath.Path(folder).name
    shards = list(enumerate(range(0, len(source), config.shard)))
    with tqdm.tqdm(total=len(source), desc=f"encoding {name}", unit="clip") as bar:
        for number, start in shards[jax.process_index() :: jax.process_count()]:
            indices = range(start, min(start + config.shard, len(source)))
            if not has_shard(folder, number):
                records: list[Serialized] = []
                for group in by_shape(source, indices, config.batch):
                    check_clips([spec for _, spec in group], vae)
                    clips = [(i, spec, source.read(i).pixels) for i, spec in group]
                    records += map(serialize, encode_group(config, clips, run, vae))
                    bar.update(len(group))
                lock.check()
                write_serialized(folder, number, records, config.draws)
            bar.update(indices.stop - bar.n)


def _first_specs(source: ClipSource, count: int) -> Iterator[ClipSpec]:
    return (source.spec(index) for index in range(min(count, len(source))))


def _texts(spec: ClipSpec) -> Iterator[str]:
    """Yield what the tokenizer learns of a clip: also the words of backgrounds."""
    first, *others = captions_of(spec)
    yield first
    if spec.has_alpha:
        yield from others
        yield from backgrounds.all_phrases()
