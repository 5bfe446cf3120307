"""Small models that every test shares."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

# Compiling takes longer than running here; programs that tests start inherit this.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
# What one process has compiled, no other of the same run compiles again. The folder is
# new for each run, and made by its first process, of which the others inherit it.
COMPILED = ""
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.mkdtemp(prefix="sora_jax_tests_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import tiny_wan  # noqa: E402
from refusals import refuses  # noqa: E402, F401
from tiny import make  # noqa: E402
from worlds import FRAMES, PROMPT, World  # noqa: E402

from sora_jax import cli  # noqa: E402
from sora_jax.config import (  # noqa: E402
    EncodeRun,
    ModelConfig,
    PlaygroundConfig,
    SamplingConfig,
    VAEConfig,
    to_json,
)
from sora_jax.data.records import Record, write_shard  # noqa: E402
from sora_jax.models.dit import DiT  # noqa: E402
from sora_jax.models.text_encoder import TextEncoder  # noqa: E402
from sora_jax.models.tokenizer import train_tokenizer  # noqa: E402
from sora_jax.models.vae import VAE  # noqa: E402
from sora_jax.sampling.model import Model  # noqa: E402
from sora_jax.weights import bundle  # noqa: E402
from sora_jax.weights.export import export  # noqa: E402
from sora_jax.weights.model_weights import weights_in_memory  # noqa: E402
from sora_jax.workdir import keep_config  # noqa: E402
from sora_jax.worlds.playground.source import Playground  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)


def pytest_unconfigure():
    if COMPILED:
        shutil.rmtree(COMPILED, ignore_errors=True)


CONFIGS = Path(__file__).parent.parent / "configs"
DEBUG = cli.load_config(str(CONFIGS / "dit_debug.py"))


@pytest.fixture(scope="session")
def vae_config():
    return VAEConfig(encoder_width=4, decoder_width=4, channels=4)


@pytest.fixture(scope="session")
def dit_config():
    return DEBUG.dit


@pytest.fixture(scope="session")
def text_config():
    return DEBUG.text


@pytest.fixture(scope="session")
def tiny(text_config):
    """A Wan model of two experts."""
    return tiny_wan.two_experts(text_config)


@pytest.fixture(scope="session")
def exported(tiny, tmp_path_factory):
    """The same in diffusers' layout."""
    path = tmp_path_factory.mktemp("exported") / "tiny"
    export(str(path), tiny)
    return path


@pytest.fixture(scope="session")
def original(tiny, exported, tmp_path_factory):
    """The same as its publishers would lay it out."""
    return tiny_wan.lay_out(tiny, exported, tmp_path_factory.mktemp("original"))


@pytest.fixture
def copy(exported, tmp_path):
    """One that a test may change."""
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.fixture(scope="session")
def weights(vae_config, dit_config, text_config):
    words = ["a red ball moves right", "a blue square", "on a green floor"] * 40
    tokenizer = train_tokenizer(words, vocab_size=320)
    config = ModelConfig(
        name="tiny",
        vae=vae_config,
        dit=dit_config,
        text=text_config,
        sampling=SamplingConfig(steps=3, frames=5, size=(32, 32)),
        fps=8.0,
        conditioning="channels",
    )
    return weights_in_memory(
        config,
        tokenizer,
        vae=make(VAE, vae_config),
        dit=make(DiT, dit_config),
        text_encoder=make(TextEncoder, text_config),
    )


@pytest.fixture(scope="session")
def folder(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    bundle.save(path, weights)
    return path


@pytest.fixture(scope="session")
def model(weights):
    return Model(weights)


@pytest.fixture(scope="session")
def oracle_parts(vae_config, dit_config, text_config):
    tokenizer = train_tokenizer([PROMPT, "a blue square"] * 60, vocab_size=320)
    config = ModelConfig(
        name="oracle",
        vae=vae_config,
        dit=dataclasses.replace(dit_config, channels=4, extra_channels=8),
        text=text_config,
        # Euler steps are exact where the velocity is.
        sampling=SamplingConfig(
            solver="euler", steps=2, guidance=1.0, frames=9, size=(32, 32), context=5
        ),
        fps=8.0,
        conditioning="channels",
        mid_clip=True,
    )
    return config, tokenizer, make(VAE, vae_config), make(TextEncoder, text_config)


@pytest.fixture
def latents(tmp_path):
    """A folder of encoded clips."""
    record = Record(
        latents=np.zeros((1, 4, 4, 8), np.float32),
        extra=np.zeros((1, 4, 4, 12), np.float32),
        captions=("a ball",),
        stretches=((0, ("a ball",)),),
    )
    for split in ("train", "held_out"):
        write_shard(tmp_path / split, 0, [record] * 3)
    (tmp_path / "vae.safetensors").write_bytes(b"a VAE")
    train_tokenizer(["a ball", "a box"], tmp_path / "tokenizer.model", vocab_size=300)
    encoded = EncodeRun(data=PlaygroundConfig(length=3), held_out_clips=3)
    keep_config(tmp_path, to_json(encoded))
    return tmp_path


@pytest.fixture(scope="session")
def clip():
    config = PlaygroundConfig(frames=((FRAMES, 1.0),), sizes=(((32, 32), 1.0),))
    return Playground(config)[0].clip.pixels


@pytest.fixture(scope="session")
def world(oracle_parts, clip):
    return World(oracle_parts, clip)
