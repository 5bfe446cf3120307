"""The VAE's job: clips in, a reconstruction loss out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import PlaygroundConfig, VAERun
from sora_jax.data import pipeline
from sora_jax.data.playground import Playground, Sample
from sora_jax.data.video import to_uint8
from sora_jax.data.windows import window_on_object
from sora_jax.models.critic import Critic
from sora_jax.models.vae import VAE, sample_posterior
from sora_jax.training import optim
from sora_jax.training.flops import count_flops
from sora_jax.training.loop import Job
from sora_jax.training.objectives import reconstruction_losses as losses
from sora_jax.training.report import Media, tile
from sora_jax.training.state import (
    Metrics,
    Optimization,
    Params,
    TrainState,
    plan_state,
    started,
)
from sora_jax.weights import published, workdirs

HELD_OUT_CLIPS = 8
# Settings that a run need not share with the VAE that it starts from; a run of the
# decoder alone keeps the latents as they are, and so shares what makes them.
MAY_DIFFER = ("dtype", "temporal_padding")


class Trained(nnx.Module):
    """The VAE and, when it is switched on, its critic."""

    def __init__(self, config: VAERun, *, rngs: nnx.Rngs):
        self.vae = VAE(config.vae, rngs=rngs)
        on = config.critic.weight > 0
        self.critic = Critic(config.critic.width, rngs=rngs) if on else None


def make_job(config: VAERun, mesh: Mesh) -> Job:
    """Build the VAE's job on a mesh.

    Raises:
      ValueError: the mesh cannot share the batch.
    """
    sharding.check_batch("batch", config.batch, mesh)
    optimization = Optimization(
        transform=transform(config),
        ema_decay=config.optim.ema_decay,
        accumulate=config.optim.accumulate,
    )
    if config.start_from:
        load_start(config)  # refused before any work, and read again only to begin
    blueprint = plan_state(
        lambda key: Trained(config, rngs=nnx.Rngs(key)),
        optimization,
        config.seed,
        mesh,
    )

    def loss(
        params: Params, pixels: Array, key: Array, step: Array
    ) -> tuple[Array, Metrics]:
        trained = nnx.merge(blueprint.graphdef, params)
        return vae_loss(config, trained, pixels, key, step)

    held_out = held_out_clips(config.data)
    side = config.window
    size = (side, side) if side else held_out.shape[2:4]
    shape = (config.batch, held_out.shape[1], *size, 3)
    gradient = jax.grad(loss, has_aux=True)
    flops = count_flops(
        gradient,
        blueprint.abstract.params,
        jax.ShapeDtypeStruct(shape, jnp.float32),
        jax.random.key(0),
        0,
    )
    return Job(
        blueprint=started(
            blueprint, lambda: {"vae": published.parameters(load_start(config))}
        )
        if config.start_from
        else blueprint,
        loss=loss,
        optimization=optimization,
        data=lambda: clips(config, sharding.host_share(mesh)),
        evaluate=evaluation(blueprint.graphdef, held_out),
        work={"clips": config.batch, "FLOP": flops},
    )


def evaluation(
    graphdef: nnx.GraphDef, held_out: Float[np.ndarray, "b t h w c"]
) -> Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]:
    """PSNR of held-out clips, and the clips above their reconstructions."""

    @jax.jit
    def reconstruct(params: Params) -> Array:
        vae = nnx.merge(graphdef, params).vae
        mean, _, _ = vae.posterior(held_out)
        return jnp.clip(vae.reconstruct(mean)[0], -1, 1)

    def evaluate(state: TrainState) -> tuple[dict[str, float], dict[str, Media]]:
        made = reconstruct(state.ema)
        both = np.concatenate([held_out, sharding.fetch(made)], axis=2)
        scalars = {"psnr": float(losses.psnr(made, jnp.asarray(held_out)))}
        return scalars, {"reconstructions": tile(to_uint8(both))}

    return evaluate


def load_start(config: VAERun) -> VAE:
    """Load the VAE that a run starts from.

    Raises:
      ValueError: there is none, or its size is not the run's; names what differs.
    """
    start = workdirs.load_vae(config.start_from, "start_from")
    free = MAY_DIFFER[:1] if config.decoder_only else MAY_DIFFER
    lines = [
        f"vae.{field.name} must be {getattr(start.config, field.name)} to start from "
        f"{config.start_from!r}, got {getattr(config.vae, field.name)}"
        for field in dataclasses.fields(config.vae)
        if field.name not in free
        and getattr(start.config, field.name) != getattr(config.vae, field.name)
    ]
    if lines:
        raise ValueError("\n".join(lines))
    return start


def transform(config: VAERun) -> optax.GradientTransformation:
    """One optimizer for the VAE; the critic follows its own constant rate."""
    vae = optim.optimizer(config.optim, config.steps)
    if config.critic.weight == 0 and not config.decoder_only:
        return vae
    critic = optax.adam(config.critic.lr, b1=0.5, b2=0.9)
    critic = optim.accumulated(critic, config.optim.accumulate)
    transforms: dict[Hashable, optax.GradientTransformation]
    transforms = {"vae": vae, "critic": critic, "frozen": optax.set_to_zero()}
    return optax.partition(transforms, partial(by_network, config))


def by_network(config: VAERun, params: Params) -> Params:
    """Label each parameter with what moves it."""
    labels = {
        name: jax.tree.map(partial(_constant, name), branch)
        for name, branch in params.items()
    }
    if config.decoder_only:
        encoder = jax.tree.map(partial(_constant, "frozen"), params["vae"]["encoder"])
        labels["vae"] = {**labels["vae"], "encoder": encoder}
    return labels


def _constant(name: str, _: Array) -> str:
    return name


def vae_loss(
    config: VAERun,
    trained: Trained,
    pixels: Float[Array, "b t h w 3"],
    key: Array,
    step: Array,
) -> tuple[Array, Metrics]:
    """L1, squares, edges and KL; with a critic, the hinge losses of both sides."""
    mean, log_variance, _ = trained.vae.posterior(pixels)
    if config.decoder_only:
        mean, log_variance = jax.lax.stop_gradient((mean, log_variance))
    made, _ = trained.vae.reconstruct(sample_posterior(key, mean, log_variance))
    parts = {
        "l1": losses.l1(made, pixels),
        "squares": losses.squares(made, pixels),
        "edges": losses.edges(made, pixels),
        "kl": losses.kl(mean, log_variance),
    }
    total = (
        parts["l1"]
        + config.squares * parts["squares"]
        + config.edges * parts["edges"]
        + config.kl * parts["kl"]
    )
    if trained.critic is not None:
        # Each side sees the other as a constant.
        graphdef, params = nnx.split(trained.critic)
        frozen = nnx.merge(graphdef, jax.lax.stop_gradient(params))
        fake = trained.critic(jax.lax.stop_gradient(made))
        parts["critic"] = losses.hinge_critic(trained.critic(pixels), fake)
        parts["maker"] = losses.hinge_maker(frozen(made))
        weight = jnp.where(step >= config.critic.start, config.critic.weight, 0.0)
        total += parts["critic"] + weight * parts["maker"]
    return total, {**parts, "psnr": losses.psnr(made, pixels)}


def clips(
    config: VAERun, share: pipeline.Share
) -> Iterator[Float[np.ndarray, "b t h w c"]]:
    """Batches of pixels, without end."""
    source = Playground(config.data)
    make = partial(_pixels, config.window)
    return pipeline.shuffled(source, make, config.batch, config.seed, share)


def _pixels(
    window: int, sample: Sample, rng: np.random.Generator
) -> Float[np.ndarray, "t h w c"]:
    return window_on_object(sample, window, rng) if window else sample.clip.pixels


def held_out_clips(config: PlaygroundConfig) -> Float[np.ndarray, "b t h w c"]:
    """A few clips of the test split, the same in every run."""
    test = Playground(dataclasses.replace(config, split="test", length=HELD_OUT_CLIPS))
    return np.stack([test[i].clip.pixels for i in range(HELD_OUT_CLIPS)])
