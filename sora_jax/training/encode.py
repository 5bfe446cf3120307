"""Encode clips once, to the latent cache that DiT training reads.

The VAE encodes each clip, and again with random pixels grey, for conditioning channels.
The folder also gets the VAE, with the measured mean and deviation of its latents, and
the tokenizer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from etils import epath
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import EncodeRun, VAEConfig, to_json
from sora_jax.data.records import Record, has_shard, write_shard
from sora_jax.data.sources.protocol import ClipSource, ClipSpec, Sources
from sora_jax.data.video import to_float
from sora_jax.diffusion import conditioning
from sora_jax.files import PathLike
from sora_jax.locking import Lock, only_run
from sora_jax.models.tokenizer import Tokenizer, train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.types import Condition
from sora_jax.weights import bundle, folders, workdirs
from sora_jax.workdir import keep_config, refuse_other_config

SHARD = 1024

# The first latent of a stretch of time, and its captions.
CaptionsFrom = tuple[int, tuple[str, ...]]
EncodeClips = Callable[[Float[np.ndarray, "b t h w 3"]], Float[Array, "b t h w z"]]


def check_hosts() -> None:
    """Check that there is only one host; several would write the same files.

    Raises:
      ValueError: there are several.
    """
    if jax.process_count() > 1:
        raise ValueError(
            f"encoding runs on one host, got {jax.process_count()}: start it on one "
            "machine, and train on its encoded clips"
        )


def encode(config: EncodeRun, workdir: str, sources: Sources) -> None:
    """Encode the training and the held-out clips; resumes an interrupted run.

    Args:
      config: the run.
      workdir: the folder to fill.
      sources: the clips of `config.data`.

    Raises:
      ValueError: the workdir has clips of another config, the VAE is missing, or there
        are several hosts.
    """
    check_hosts()
    with only_run(workdir) as lock:
        refuse_other_config(workdir, to_json(config), defaults=to_json(EncodeRun()))
        _encode_alone(config, workdir, sources, lock)


def _encode_alone(
    config: EncodeRun, workdir: str, sources: Sources, lock: Lock
) -> None:
    folder = epath.Path(workdir)
    if not (folder / "vae.safetensors").exists():
        vae = workdirs.load_vae(config.vae)
        check_clips(_first_specs(sources.train, config.statistics_clips), vae.config)
        keep_config(workdir, to_json(config))
        # Weights bring their own statistics, on which their DiT was trained.
        is_measured = bool((vae.latent_std[...] != 1).any())
        if not is_measured:
            vae = measure_latents(vae, config, sources.train)
        bundle.save_vae(folder, vae, workdirs.describe_vae(config.vae))
    vae = workdirs.load_vae(workdir)
    if not (folder / "tokenizer.model").exists():
        tokenizer = make_tokenizer(config, sources.train)
        bundle.save_tokenizer(folder, tokenizer)
    graphdef, params = nnx.split(vae)
    run = jax.jit(lambda params, clips: nnx.merge(graphdef, params).encode(clips)[0])
    for split, source in (("held_out", sources.held_out), ("train", sources.train)):
        encode_split(
            config,
            source,
            folder / split,
            lambda clips: run(params, clips),
            vae.config,
            lock,
        )


def make_tokenizer(config: EncodeRun, source: ClipSource) -> Tokenizer:
    """Load the config's tokenizer, or train one on captions."""
    if config.tokenizer:
        return folders.load_tokenizer(config.tokenizer)
    specs = _first_specs(source, config.tokenizer_clips)
    texts = (captions_of(spec)[0] for spec in specs)
    return train_tokenizer(texts, vocab_size=config.vocabulary)


def check_clips(specs: Iterable[ClipSpec], vae: VAEConfig) -> None:
    """Check that the VAE supports the clips' lengths and sizes.

    Raises:
      ValueError: names each field, and what it must be.
    """
    time, space = vae.time_factor, vae.space_factor
    shapes = {spec.shape for spec in specs}
    frames = sorted({shape[0] for shape in shapes if (shape[0] - 1) % time})
    sizes = sorted({shape[1:] for shape in shapes if any(s % space for s in shape[1:])})
    problems = []
    if frames:
        problems.append(f"data.frames must be 1 + {time}k each, got {frames}")
    if sizes:
        problems.append(f"data.sizes must be multiples of {space}, got {sizes}")
    if problems:
        raise ValueError("\n".join(problems))


def measure_latents(vae: VAE, config: EncodeRun, source: ClipSource) -> VAE:
    """Measure mean and deviation of each latent channel on the first clips.

    The deviation is that of posterior samples, noise included, so that a channel
    without information is not scaled up to unit variance.
    """
    graphdef, params = nnx.split(vae)
    run = jax.jit(lambda p, clips: nnx.merge(graphdef, p).posterior(clips)[:2])
    count = min(config.statistics_clips, len(source))
    groups = by_shape(source, range(count), config.batch)
    means, variances = [], []
    for group in tqdm.tqdm(groups, desc="measuring latents", unit="batch"):
        pixels = [to_float(source.read(index).pixels) for index, _ in group]
        mean, log_variance = run(params, stack_and_pad(pixels, config.batch))
        means.append(np.asarray(mean[: len(group)]).reshape(-1, mean.shape[-1]))
        noise = np.exp(np.asarray(log_variance[: len(group)]))
        variances.append(noise.reshape(-1, mean.shape[-1]))
    values, noise = np.concatenate(means), np.concatenate(variances)
    deviation = np.sqrt(values.var(axis=0) + noise.mean(axis=0))
    vae.latent_mean.set_value(jnp.asarray(values.mean(axis=0)))
    vae.latent_std.set_value(jnp.asarray(deviation))
    return vae


def by_shape(
    source: ClipSource, indices: range, batch: int
) -> Iterator[list[tuple[int, ClipSpec]]]:
    """Group clips of one shape into batches, without reading them."""
    waiting: dict[tuple[int, ...], list] = defaultdict(list)
    for index in indices:
        spec = source.spec(index)
        group = waiting[spec.shape]
        group.append((index, spec))
        if len(group) == batch:
            yield waiting.pop(spec.shape)
    yield from waiting.values()


def stack_and_pad(
    clips: list[Float[np.ndarray, "t h w c"]], batch: int
) -> Float[np.ndarray, "b t h w c"]:
    """Stack clips, and repeat the last to fill the batch, for one compiled program."""
    return np.stack(clips + clips[-1:] * (batch - len(clips)))


def encode_split(
    config: EncodeRun,
    source: ClipSource,
    folder: PathLike,
    run: EncodeClips,
    vae: VAEConfig,
    lock: Lock,
) -> None:
    """Encode a split shard by shard; skips complete shards."""
    name = epath.Path(folder).name
    starts = range(0, len(source), SHARD)
    with tqdm.tqdm(total=len(source), desc=f"encoding {name}", unit="clip") as bar:
        for number, start in enumerate(starts):
            indices = range(start, min(start + SHARD, len(source)))
            if not has_shard(folder, number):
                records = []
                for group in by_shape(source, indices, config.batch):
                    check_clips([spec for _, spec in group], vae)
                    records += encode_group(config, source, group, run, vae)
                    bar.update(len(group))
                lock.check()
                write_shard(folder, number, records)
            bar.update(indices.stop - bar.n)


def encode_group(
    config: EncodeRun,
    source: ClipSource,
    group: Sequence[tuple[int, ClipSpec]],
    run: EncodeClips,
    vae: VAEConfig,
) -> list[Record]:
    """Encode clips of one shape, and their conditions."""
    pixels = [to_float(source.read(index).pixels) for index, _ in group]
    conditions = [
        draw_condition(config, index, clip)
        for (index, _), clip in zip(group, pixels, strict=True)
    ]
    time = vae.time_factor
    latents = np.asarray(run(stack_and_pad(pixels, config.batch)))
    given = np.asarray(run(stack_and_pad([c.pixels for c in conditions], config.batch)))
    return [
        Record(
            latents=latents[i],
            extra=conditioning.conditioning_channels(
                conditions[i].mask, given[i], time
            ),
            captions=captions_of(spec),
            stretches=stretches_of(spec, time),
        )
        for i, (_, spec) in enumerate(group)
    ]


def draw_condition(
    config: EncodeRun, index: int, pixels: Float[np.ndarray, "t h w c"]
) -> Condition:
    """Draw the given pixels of a clip; deterministic by seed and index."""
    rng = np.random.default_rng([config.seed, index])
    shape = pixels.shape[:3]
    mask = conditioning.empty_mask(*shape)
    if rng.random() < config.conditioned:
        mask = conditioning.draw_mask(rng, *shape)
    return conditioning.grey_out(pixels, mask)


def captions_of(spec: ClipSpec) -> tuple[str, ...]:
    """Return the captions of a whole clip; one empty text if there are none."""
    return spec.captions[0].texts if spec.captions else ("",)


def stretches_of(spec: ClipSpec, time_factor: int) -> tuple[CaptionsFrom, ...]:
    """Return the first latent frame of each stretch of time, and its phrasings."""
    parts = spec.captions[1:] or spec.captions
    # The latent frame in which a stretch begins may still show the one before it.
    return tuple((-(-part.start // time_factor), part.texts) for part in parts) or (
        (0, ("",)),
    )


def _first_specs(source: ClipSource, count: int) -> Iterator[ClipSpec]:
    return (source.spec(index) for index in range(min(count, len(source))))
