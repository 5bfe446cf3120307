"""VAE training on clips."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import VAERun, resolve_dtypes
from sora_jax.data import backgrounds, pipeline, video
from sora_jax.data.sources.protocol import ClipSource, Sources
from sora_jax.families import OURS
from sora_jax.models import vae_resampling
from sora_jax.models.critic import Critic
from sora_jax.models.vae import VAE
from sora_jax.parameter_trees import Params, Path
from sora_jax.sharding import MeshPlan
from sora_jax.training import optim
from sora_jax.training.loop import TrainSetup
from sora_jax.training.objectives import reconstruction_losses as losses
from sora_jax.training.objectives.reconstruction import (
    AUTOENCODER,
    CRITIC,
    Reconstruction,
)
from sora_jax.training.program import TrainProgram, gradient_flops, plan_program
from sora_jax.training.report import Media, tile
from sora_jax.training.state import TrainState, load_frozen
from sora_jax.weights import workdirs
from sora_jax.weights.modules import parameters

_logger = logging.getLogger(__name__)
HELD_OUT_CLIPS = 8
# Fields that may differ from the VAE that a run starts from, if all parameters are
# trained; frozen parameters need the same computation.
MAY_DIFFER = ("dtype", "temporal_padding")


def build(config: VAERun, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Build the VAE and, if enabled, its critic."""
    spec = OURS.networks[AUTOENCODER]
    networks: dict[str, nnx.Module] = {AUTOENCODER: spec.build(config)(rngs)}
    if config.critic.weight > 0:
        networks[CRITIC] = Critic(config.critic.width, rngs=rngs)
    return networks


def train_program(config: VAERun, mesh_plan: MeshPlan) -> TrainProgram:
    """Plan the training program of a config on a mesh; allocates nothing.

    Raises:
      ValueError: the mesh cannot share the batch.
    """
    sharding.check_batch("batch", config.batch, mesh_plan)
    config = resolve_dtypes(config, mesh_plan.platform)
    return plan_program(
        config,
        mesh_plan,
        build=partial(build, config),
        objective=Reconstruction(config, mesh_plan),
        optimizer=partial(optimizer, config),
        dtypes={AUTOENCODER: config.vae.dtype},
    )


def set_up(config: VAERun, mesh_plan: MeshPlan, sources: Sources) -> TrainSetup:
    """Set up the training of a VAE on a mesh.

    Args:
      config: the run.
      mesh_plan: of the mesh to train on.
      sources: clips of one shape.

    Raises:
      ValueError: the mesh does not divide the batch, or `start_from` is not usable.
    """
    program = train_program(config, mesh_plan)

    def load() -> Params:
        return {AUTOENCODER: parameters(load_start(config))}

    if config.start_from:
        load_start(config)  # checked before any work, and loaded again at step 0
        state = program.state.starting_from(load)
        program = dataclasses.replace(program, state=state)
    frozen = load_frozen(program.frozen, load)
    held_out = held_out_clips(sources.held_out)
    side = config.window
    size = (side, side) if side else held_out.shape[2:4]
    batch = jax.ShapeDtypeStruct(
        (config.batch, held_out.shape[1], *size, 3), jnp.float32
    )
    flops = gradient_flops(
        partial(build, config), Reconstruction(config), batch, config.trainable
    )
    return TrainSetup(
        program=program,
        frozen=frozen,
        data=lambda step: clips(config, sources, sharding.host_share(mesh_plan), step),
        evaluate=evaluation(program, frozen, held_out),
        work={"clips": float(config.batch), "FLOP": flops},
        sources=source_hashes(config, sources),
    )


def source_hashes(config: VAERun, sources: Sources) -> dict[str, str]:
    """Hash the inputs of a run: stored clips, and the weights with frozen parts."""
    hashes = {"set of clips": sources.digest} if sources.digest else {}
    if config.trainable != "all":
        hashes["start_from"] = workdirs.start_digest(config.start_from)
    return hashes


def evaluation(
    program: TrainProgram, frozen: Params, held_out: Float[np.ndarray, "b t h w c"]
) -> Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]:
    """Return the evaluation: PSNR, and held-out clips above reconstructions."""

    @jax.jit
    def reconstruct(params: Params, frozen: Params) -> Array:
        vae = program.networks(params, frozen)[AUTOENCODER]
        mean, _, _ = vae.posterior(held_out)
        return jnp.clip(vae.reconstruct(mean)[0], -1, 1)

    def evaluate(state: TrainState) -> tuple[dict[str, float], dict[str, Media]]:
        decoded = reconstruct(state.ema, frozen)
        both = np.concatenate([held_out, sharding.fetch(decoded)], axis=2)
        scalars = {"psnr": float(losses.psnr(decoded, jnp.asarray(held_out)))}
        return scalars, {"reconstructions": tile(video.to_uint8(both))}

    return evaluate


def load_start(config: VAERun) -> VAE:
    """Load the VAE that a run starts from; one trained on images is inflated.

    Raises:
      ValueError: it is missing, or its config differs; names the fields.
    """
    start = workdirs.load_vae(config.start_from, "start_from")
    free = MAY_DIFFER if config.trainable == "all" else MAY_DIFFER[:1]
    lines = [
        f"vae.{field.name} must be {getattr(start.config, field.name)} to start from "
        f"{config.start_from!r}, got {getattr(config.vae, field.name)}"
        for field in dataclasses.fields(config.vae)
        if field.name not in free
        and getattr(start.config, field.name) != getattr(config.vae, field.name)
    ]
    if lines:
        raise ValueError("\n".join(lines))
    if workdirs.saw_images_only(config.start_from):
        _logger.info("the VAE of %s saw images only: inflated", config.start_from)
        vae_resampling.inflate(start)
    return start


def optimizer(
    config: VAERun, groups: Mapping[Path, str | None]
) -> optax.GradientTransformation:
    """Build the VAE's optimizer; the critic has its own constant rate."""
    vae = optim.optimizer(config.optim, config.steps, groups)
    if config.critic.weight == 0 and config.trainable == "all":
        return vae
    critic = optax.adam(config.critic.lr, b1=0.5, b2=0.9)
    critic = optim.accumulate_gradients(critic, config.optim.accumulate)
    return optim.by_network({AUTOENCODER: vae, CRITIC: critic})


def clips(
    config: VAERun, sources: Sources, share: pipeline.Share, first: int = 0
) -> Iterator[Float[np.ndarray, "b t h w c"]]:
    """Yield batches of pixels forever, from that of step `first` + 1."""
    make = partial(_pixels, config.window, sources)
    indices = range(len(sources.train))
    return pipeline.shuffled(
        indices,
        make,
        config.batch,
        config.seed,
        share,
        first=first,
        workers=config.workers,
    )


def _pixels(
    window: int, sources: Sources, index: int, rng: np.random.Generator
) -> Float[np.ndarray, "t h w c"]:
    pixels = sources.train.read(index).pixels
    if window:
        mask = np.ones(pixels.shape[:3], bool)
        subjects = sources.subjects and sources.subjects(sources.train.spec(index))
        if subjects is not None:
            mask = subjects
        elif pixels.shape[-1] == 4 and pixels[..., 3].any():
            mask = pixels[..., 3] > 0
        pixels = video.crop_around(pixels, mask, window, rng)
    return video.to_float(backgrounds.over(pixels, backgrounds.draw_name(rng)))


def held_out_clips(source: ClipSource) -> Float[np.ndarray, "b t h w c"]:
    """Return a few clips of the test split, the same in every run."""
    count = min(HELD_OUT_CLIPS, len(source))
    names = list(backgrounds.BACKGROUNDS)
    clips = [source.read(i).pixels for i in range(count)]
    shown = [
        backgrounds.over(pixels, names[i % len(names)])
        for i, pixels in enumerate(clips)
    ]
    return video.to_float(np.stack(shown))
