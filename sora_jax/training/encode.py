"""Encode clips once: the latent cache that the DiT is trained on.

clips -> VAE -> latents, and clips with a drawn part greyed out -> VAE -> the latents of
what is known. The folder that this leaves also holds the VAE, with the latents' mean
and deviation measured, and the tokenizer: all that the DiT's training needs.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from etils import epath
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import EncodeRun, PlaygroundConfig, VAEConfig, to_json
from sora_jax.data.playground import Playground, Sample
from sora_jax.data.records import Record, has_shard, write_shard
from sora_jax.diffusion import conditioning
from sora_jax.files import PathLike
from sora_jax.locking import Lock, only_run
from sora_jax.models.tokenizer import Tokenizer, train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.weights import bundle, folders, workdirs
from sora_jax.workdir import keep_config, refuse_other_config

SHARD = 1024
PHRASINGS = 4

EncodeClips = Callable[[Float[np.ndarray, "b t h w 3"]], Float[Array, "b t h w z"]]


def check_hosts() -> None:
    """Refuse several hosts, which would write the same files.

    Raises:
      ValueError: there are several.
    """
    if jax.process_count() > 1:
        raise ValueError(
            f"encoding runs on one host, got {jax.process_count()}: start it on a "
            "machine of its own, and train on the clips that it leaves"
        )


def encode(config: EncodeRun, workdir: str) -> None:
    """Encode the training and the held-out clips; continues where it stopped.

    Raises:
      ValueError: the workdir holds the clips of another config, there is no VAE, or
        several hosts would write the same files.
    """
    check_hosts()
    with only_run(workdir) as lock:
        refuse_other_config(workdir, to_json(config), defaults=to_json(EncodeRun()))
        encode_alone(config, workdir, lock)


def encode_alone(config: EncodeRun, workdir: str, lock: Lock) -> None:
    """Encode what is left, alone in the workdir; see `encode`."""
    folder = epath.Path(workdir)
    held_out = dataclasses.replace(
        config.data, split="test", length=config.held_out_clips
    )
    if not (folder / "vae.safetensors").exists():
        vae = workdirs.load_vae(config.vae)
        check_clips(config.data, vae.config)
        keep_config(workdir, to_json(config))
        # A DiT that was trained on published latents knows them as they are measured.
        is_measured = bool((vae.latent_std[...] != 1).any())
        bundle.save_vae(folder, vae if is_measured else measure(vae, config))
    vae = workdirs.load_vae(workdir)
    if not (folder / "tokenizer.model").exists():
        bundle.save_tokenizer(folder, make_tokenizer(config))
    graphdef, params = nnx.split(vae)
    run = jax.jit(lambda params, clips: nnx.merge(graphdef, params).encode(clips)[0])
    for name, data in (("held_out", held_out), ("train", config.data)):
        into = folder / name
        write_split(config, data, into, lambda clips: run(params, clips), vae, lock)


def make_tokenizer(config: EncodeRun) -> Tokenizer:
    """Take the tokenizer that is named, or train one on captions."""
    if config.tokenizer:
        return folders.tokenizer(config.tokenizer)
    texts = captions(config.data, config.tokenizer_clips)
    return train_tokenizer(texts, vocab_size=config.vocabulary)


def check_clips(data: PlaygroundConfig, vae: VAEConfig) -> None:
    """Refuse clips that the VAE cannot divide.

    Raises:
      ValueError: names each field, and what it must be.
    """
    time, space = vae.time_factor, vae.space_factor
    lengths = [length for length, _ in data.frames]
    sizes = [size for size, _ in data.sizes]
    problems = []
    if any((length - 1) % time for length in lengths):
        problems.append(f"data.frames must be 1 + {time}k each, got {lengths}")
    if any(side % space for size in sizes for side in size):
        problems.append(f"data.sizes must be multiples of {space}, got {sizes}")
    if problems:
        raise ValueError("\n".join(problems))


def captions(config: PlaygroundConfig, clips: int) -> Iterator[str]:
    """Captions of the first clips, for the tokenizer to learn from."""
    source = Playground(config)
    for index in range(min(clips, len(source))):
        yield source.captions(index)[1]


def measure(vae: VAE, config: EncodeRun) -> VAE:
    """Set mean and deviation of each latent channel from the first clips.

    The deviation is that of a sample of the posterior, its noise included: a channel
    that carries nothing must not be blown up to unit size.
    """
    graphdef, params = nnx.split(vae)
    run = jax.jit(lambda p, clips: nnx.merge(graphdef, p).posterior(clips)[:2])
    groups = by_shape(
        Playground(config.data),
        range(min(config.statistics_clips, config.data.length)),
        config.batch,
    )
    means, variances = [], []
    for group in tqdm.tqdm(groups, desc="measuring latents", unit="batch"):
        mean, log_variance = run(
            params, pad([s.clip.pixels for _, s in group], config.batch)
        )
        means.append(np.asarray(mean[: len(group)]).reshape(-1, mean.shape[-1]))
        noise = np.exp(np.asarray(log_variance[: len(group)]))
        variances.append(noise.reshape(-1, mean.shape[-1]))
    values, noise = np.concatenate(means), np.concatenate(variances)
    deviation = np.sqrt(values.var(axis=0) + noise.mean(axis=0))
    vae.latent_mean.set_value(jnp.asarray(values.mean(axis=0)))
    vae.latent_std.set_value(jnp.asarray(deviation))
    return vae


def by_shape(
    source: Playground, indices: range, batch: int
) -> Iterator[list[tuple[int, Sample]]]:
    """Gather clips of one shape into groups of at most `batch`."""
    waiting: dict[tuple[int, ...], list] = defaultdict(list)
    for index in indices:
        sample = source[index]
        group = waiting[sample.clip.pixels.shape]
        group.append((index, sample))
        if len(group) == batch:
            yield waiting.pop(sample.clip.pixels.shape)
    yield from waiting.values()


def pad(
    clips: list[Float[np.ndarray, "t h w c"]], batch: int
) -> Float[np.ndarray, "b t h w c"]:
    """Stack clips, repeating the last: one compiled program for every group."""
    return np.stack(clips + clips[-1:] * (batch - len(clips)))


def write_split(
    config: EncodeRun,
    data: PlaygroundConfig,
    folder: PathLike,
    run: EncodeClips,
    vae: VAE,
    lock: Lock,
) -> None:
    """Encode a split shard by shard; shards that are complete are left alone."""
    source = Playground(data)
    starts = range(0, len(source), SHARD)
    with tqdm.tqdm(
        total=len(source), desc=f"encoding {data.split}", unit="clip"
    ) as bar:
        for number, start in enumerate(starts):
            indices = range(start, min(start + SHARD, len(source)))
            if not has_shard(folder, number):
                records = []
                for group in by_shape(source, indices, config.batch):
                    records += encode_group(config, source, group, run, vae)
                    bar.update(len(group))
                lock.check()
                write_shard(folder, number, records)
            bar.update(indices.stop - bar.n)


def encode_group(
    config: EncodeRun,
    source: Playground,
    group: list[tuple[int, Sample]],
    run: EncodeClips,
    vae: VAE,
) -> list[Record]:
    """Encode clips of one shape, whole and with what their condition leaves known."""
    pixels = [sample.clip.pixels for _, sample in group]
    conditions = []
    for (index, _), clip in zip(group, pixels, strict=True):
        rng = np.random.default_rng([config.seed, index])
        shape = clip.shape[:3]
        mask = conditioning.nothing(*shape)
        if rng.random() < config.conditioned:
            mask = conditioning.draw_mask(rng, *shape)
        conditions.append(conditioning.hide(clip, mask))
    latents = np.asarray(run(pad(pixels, config.batch)))
    known = np.asarray(run(pad([c.pixels for c in conditions], config.batch)))
    time = vae.config.time_factor
    records = []
    for i, (index, sample) in enumerate(group):
        texts = [source.captions(index, phrasing) for phrasing in range(PHRASINGS)]
        stretches = tuple(
            # A cut falls between latent frames: frame 1 + 4k starts latent 1 + k.
            (-(-part.start // time), tuple(parts[j].text for parts, _ in texts))
            for j, part in enumerate(sample.captions)
        )
        records.append(
            Record(
                latents=latents[i],
                known=conditioning.channels(conditions[i].mask, known[i], time),
                captions=tuple(text for _, text in texts),
                stretches=stretches,
            )
        )
    return records
