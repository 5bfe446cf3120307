"""The VAE's objective: its terms, its critic, and a decoder that is trained alone."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sora_jax import parameter_trees as trees
from sora_jax import sharding
from sora_jax.commands.sources import open_joined
from sora_jax.config import (
    CriticConfig,
    OptimConfig,
    PlaygroundConfig,
    VAEConfig,
    VAERun,
)
from sora_jax.data import pipeline
from sora_jax.data.sources.protocol import ClipSpec, Sources
from sora_jax.training import vae
from sora_jax.training.objectives import reconstruction_losses as losses
from sora_jax.training.state import TrainState
from sora_jax.training.step import train_step
from sora_jax.types import Clip
from tests.helpers.objective_cases import drawn

TINY = VAEConfig(encoder_width=4, decoder_width=4, channels=4, multipliers=(1,) * 3)


def program_of(config):
    return vae.train_program(config, sharding.SINGLE_DEVICE)


def test_the_critic_is_a_switch():
    config = VAERun(vae=TINY)
    assert program_of(config).abstract.params.keys() == {"vae"}
    critic = CriticConfig(weight=0.1, width=4)
    program = program_of(dataclasses.replace(config, critic=critic))
    assert program.abstract.params.keys() == {"vae", "critic"}
    moments = program.state.abstract.opt_state.inner_states
    (adam, _) = moments["critic"].inner_state
    assert jax.tree.structure(adam.mu["critic"]) == jax.tree.structure(
        program.abstract.params["critic"]
    )
    assert not jax.tree.leaves(adam.mu["vae"])


@pytest.mark.slow
def test_a_decoder_alone_learns_and_the_encoder_stays():
    optimizer = OptimConfig(name="muon", weight_decay=0.5, warmup=1)
    config = VAERun(vae=TINY, start_from="some", trainable="decoder", optim=optimizer)
    program = program_of(config)
    params, frozen = trees.split_trainable(
        drawn(program.abstract.params), config.trainable
    )
    assert params["vae"].keys() == {"decoder"}
    assert frozen["vae"].keys() == {"encoder", "latent_mean", "latent_std"}
    pixels = jax.random.uniform(jax.random.key(0), (1, 1, 16, 16, 3), minval=-1)
    start = TrainState(
        step=jnp.int32(0),
        params=params,
        ema=params,
        opt_state=program.optimization.transform.init(params),
    )
    step = jax.jit(partial(train_step, program.loss, program.optimization, 0))
    after = step(start, frozen, pixels)[0].params
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after, params)
    assert min(jax.tree.leaves(moved)) > 0


@pytest.mark.slow
def test_the_critic_teaches_the_vae_only_after_its_start():
    config = VAERun(vae=TINY, critic=CriticConfig(weight=0.5, width=4, start=10))
    program = program_of(config)
    params = drawn(program.abstract.params)
    pixels = jax.random.uniform(jax.random.key(0), (1, 5, 16, 16, 3), minval=-1)

    @jax.jit
    def gradients(step):
        key = jax.random.key(1)
        grads, _ = jax.grad(program.loss, has_aux=True)(params, {}, pixels, key, step)
        return grads["vae"]["decoder"]["head"]["conv"]["filters"], grads["critic"]

    (vae_before, critic_before), (vae_after, critic_after) = gradients(9), gradients(10)
    assert float(jnp.abs(vae_after - vae_before).max()) > 1e-5
    jax.tree.map(np.testing.assert_array_equal, critic_before, critic_after)
    assert float(optax.tree.norm(critic_after)) > 1e-3


def test_edges_see_what_l1_does_not():
    sharp = jnp.zeros((1, 1, 8, 8, 1)).at[..., 4:, :].set(1.0)
    shifted = sharp + 0.1
    blurred = jnp.linspace(0, 1, 8)[None, None, None, :, None] + jnp.zeros_like(sharp)
    assert float(losses.edges(sharp, shifted)) < 1e-6
    assert float(losses.edges(sharp, blurred)) > 0.05


def clear_clips(length=3):
    """Clips whose pixels are all transparent."""

    class Clear:
        def __len__(self):
            return length

        def spec(self, index):
            return ClipSpec(frames=5, height=32, width=32, fps=8.0, has_alpha=True)

        def read(self, index, start=0, frames=None, size=None):
            return Clip(pixels=np.zeros((5, 32, 32, 4), np.uint8), fps=8.0)

    return Sources(train=Clear(), held_out=Clear(), digest="of the files")


def test_a_window_is_cropped_from_a_clip_that_shows_nothing():
    data = PlaygroundConfig(frames=((5, 1.0),), sizes=(((32, 32), 1.0),))
    config = VAERun(vae=TINY, batch=2, window=16, data=data)
    batch = next(vae.clips(config, clear_clips(), pipeline.WHOLE))
    assert batch.shape == (2, 5, 16, 16, 3)


def test_batches_mix_clips_of_several_sources_and_sizes():
    sizes = ((32, 32), (32, 48))
    data = [
        PlaygroundConfig(length=6, seed=seed, frames=((5, 1.0),), sizes=((size, 1.0),))
        for seed, size in enumerate(sizes)
    ]
    config = VAERun(
        vae=TINY, batch=4, window=16, data=data[0], more_data=(data[1],), seed=3
    )
    sources = open_joined(config.data, config.more_data, 2)
    assert len(sources.train) == 12 and len(sources.held_out) == 2
    assert {sources.held_out.spec(index).shape for index in range(2)} == {(5, 32, 32)}
    batches = vae.clips(config, sources, pipeline.WHOLE)
    epoch = [next(batches) for _ in range(3)]
    assert {batch.shape for batch in epoch} == {(4, 5, 16, 16, 3)}
    assert len({clip.tobytes() for batch in epoch for clip in batch}) == 12
    with pytest.raises(
        ValueError, match="window must be > 0 where data and more_data differ"
    ):
        dataclasses.replace(config, window=0)


def test_a_run_is_tied_to_its_stored_clips():
    data = PlaygroundConfig(frames=((5, 1.0),), sizes=(((32, 32), 1.0),))
    config = VAERun(vae=TINY, batch=2, data=data)
    setup = vae.set_up(config, sharding.SINGLE_DEVICE, clear_clips())
    assert setup.sources == {"set of clips": "of the files"}
