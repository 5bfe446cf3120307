"""Small models that every test shares."""

import os

# Compiling takes longer than running here; programs that tests start inherit this.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import jax  # noqa: E402
import pytest  # noqa: E402

from sora_jax.config import DiTConfig, TextConfig, VAEConfig  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session")
def vae_config():
    return VAEConfig(encoder_width=4, decoder_width=4, channels=4)


@pytest.fixture(scope="session")
def dit_config():
    return DiTConfig(
        channels=4,
        extra_channels=8,
        width=24,
        depth=2,
        heads=2,
        mlp=32,
        time_features=16,
        contexts=(("text", 12),),
    )


@pytest.fixture(scope="session")
def text_config():
    return TextConfig(
        vocabulary=320, width=12, depth=1, heads=2, head_dim=6, mlp=16, pad_to=8
    )
