"""A small run for each objective, and its gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sora_jax import cli, sharding
from sora_jax import parameter_trees as trees
from sora_jax.config import CriticConfig, DiTRun, PlaygroundConfig, VAEConfig, VAERun
from sora_jax.training import dit, vae
from tests.helpers.packed import packed
from tests.helpers.paths import CONFIGS

DEBUG = cli.load_config(str(CONFIGS / "dit_debug.py"))
SMALL = {"width": 24, "depth": 1, "heads": 2, "mlp": 32}
CASES = {
    "flow matching": dataclasses.replace(
        DEBUG,
        dit=dataclasses.replace(DEBUG.dit, contexts=(("text", 24),), **SMALL),
        text=dataclasses.replace(DEBUG.text, **SMALL),
        packing=dataclasses.replace(DEBUG.packing, tokens=48, rows=4, samples=2),
    ),
    "reconstruction": VAERun(
        data=PlaygroundConfig(frames=((5, 1.0),), sizes=(((16, 16), 1.0),)),
        vae=VAEConfig(
            encoder_width=4, decoder_width=4, channels=4, multipliers=(1,) * 3
        ),
        critic=CriticConfig(weight=0.5, width=4, start=0),
        batch=4,
    ),
}
MODULES = {DiTRun: dit, VAERun: vae}


def mesh_plan_of(config, devices=1):
    """So many devices that share the batch."""
    mesh = sharding.make_mesh({"data": devices}, jax.devices()[:devices])
    return sharding.MeshPlan(mesh, config.rules)


def plan(config, devices=1):
    """The program of a run, on so many devices."""
    return MODULES[type(config)].train_program(config, mesh_plan_of(config, devices))


def drawn(params, seed=0):
    """Parameters none of which is zero."""
    rng = np.random.default_rng(seed)

    def draw(x):
        fan_in = int(np.prod(x.shape[:-1])) if len(x.shape) > 1 else 4
        values = rng.normal(size=x.shape) / np.sqrt(max(fan_in, 1)) + (len(x.shape) < 2)
        return jnp.asarray(values, jnp.float64 if jax.config.jax_enable_x64 else None)

    return jax.tree.map(draw, params)


def batch_of(config):
    """A batch that fits a run."""
    rng = np.random.default_rng(1)
    if isinstance(config, VAERun):
        return rng.uniform(-1, 1, (config.batch, 5, 16, 16, 3)).astype(np.float32)
    return packed(config)


def gradients(program, config, devices=1):
    """((loss, metrics), gradients) of a batch."""
    params = drawn(program.abstract.params)
    trained, frozen = (
        trees.restrict(params, part)
        for part in (program.state.abstract.params, program.frozen)
    )
    batch = sharding.to_device(batch_of(config), mesh_plan_of(config, devices))
    grad = jax.jit(jax.value_and_grad(program.loss, has_aux=True))
    return grad(trained, frozen, batch, jax.random.key(0), jnp.int32(1))
