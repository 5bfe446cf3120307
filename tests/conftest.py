"""Small models that every test shares."""

import dataclasses
import os
import shutil
import tempfile

import jax
import numpy as np
import pytest

from sora_jax import cli
from sora_jax.config import (
    EncodeRun,
    ModelConfig,
    PlaygroundConfig,
    SamplingConfig,
    VAEConfig,
    to_json,
)
from sora_jax.data.records import Record, write_shard
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.sampling.model import Model
from sora_jax.weights import bundle
from sora_jax.weights.export import export
from sora_jax.weights.model_weights import weights_in_memory
from sora_jax.workdir import keep_config
from sora_jax.worlds.playground.source import Playground
from tests.helpers import clip_files, tiny_wan
from tests.helpers.paths import CONFIGS
from tests.helpers.refusals import refuses  # noqa: F401
from tests.helpers.saved_states import save_twice
from tests.helpers.tiny import make
from tests.helpers.worlds import FRAMES, PROMPT, World

DEBUG = cli.load_config(str(CONFIGS / "dit_debug.py"))
MIN_SECONDS = "0.3"  # of compiling: less is not worth a file
# These compile in a third of the time of those that are the default.
LEGACY_EMITTERS = "--xla_cpu_use_fusion_emitters=false"
COMPILED = pytest.StashKey[str]()


def pytest_configure(config):
    """Set how JAX compiles, here and in all processes that are started from here."""
    jax.config.update("jax_numpy_rank_promotion", "raise")
    # Compiling takes longer than running here.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    jax.config.update("jax_disable_most_optimizations", True)
    if LEGACY_EMITTERS not in os.environ.get("XLA_FLAGS", ""):
        flags = f"{os.environ.get('XLA_FLAGS', '')} {LEGACY_EMITTERS}"
        os.environ["XLA_FLAGS"] = flags.strip()
    # What one process has compiled, no other of the same run compiles again. The folder
    # is new for each run, and made by its first process, of which others inherit it.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[COMPILED] = tempfile.mkdtemp(prefix="sora_jax_tests_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.stash[COMPILED]
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = MIN_SECONDS
        jax.config.update("jax_compilation_cache_dir", config.stash[COMPILED])
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", float(MIN_SECONDS)
        )


def pytest_unconfigure(config):
    if COMPILED in config.stash:
        shutil.rmtree(config.stash[COMPILED], ignore_errors=True)


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


@pytest.fixture(scope="module")
def two_saves(tmp_path_factory):
    """A workdir with checkpoints of steps 10 and 20."""
    workdir = tmp_path_factory.mktemp("run")
    save_twice(workdir)
    return workdir


@pytest.fixture(scope="session")
def clip():
    config = PlaygroundConfig(frames=((FRAMES, 1.0),), sizes=(((32, 32), 1.0),))
    return Playground(config)[0].clip.pixels


@pytest.fixture(scope="session")
def world(oracle_parts, clip):
    return World(oracle_parts, clip)


@pytest.fixture
def mp4s(tmp_path):
    """A folder of three clips."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(clip_files.mp4(5))
    return tmp_path
