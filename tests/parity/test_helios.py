"""Helios' transformer and pipelines equal the reference's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import (
    HeliosDMDScheduler,
    HeliosPipeline,
    HeliosPyramidPipeline,
    HeliosScheduler,
    HeliosTransformer3DModel,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.helios import pipeline_helios, pipeline_helios_pyramid
from etils import epath
from PIL import Image

from sora_jax.config import ChunksConfig
from sora_jax.data import video
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.diffusion import stages
from sora_jax.families import HELIOS
from sora_jax.families.family import TensorFiles
from sora_jax.families.helios import transformer_json
from sora_jax.sampling import chunk_beginning, chunk_history, denoising
from sora_jax.sampling.model import Model
from sora_jax.sampling.opening import load
from sora_jax.sampling.request import Request
from sora_jax.types import Context, Tokens
from sora_jax.weights.network import StoredNetwork, read_headers
from tests.parity import reference
from tests.parity.reference import NEGATIVE, PROMPT, Z_21, psnr
from tests.parity.test_modules import CLOSE, channels_last, error

CHUNKS = ChunksConfig(frames=3, long=4, mid=2, short=1)


def transformer(seed=0, **options):
    return reference.randomized(
        HeliosTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=24,
            in_channels=Z_21,
            out_channels=Z_21,
            text_dim=reference.TEXT_WIDTH,
            freq_dim=32,
            ffn_dim=40,
            num_layers=2,
            rope_dim=(8, 8, 8),
            **options,
        ),
        seed,
    )


def network(theirs, folder):
    theirs.save_pretrained(folder, safe_serialization=True)
    spec = HELIOS.networks["dit"]
    stored = StoredNetwork(
        where=str(folder),
        spec=spec,
        config=transformer_json.dit_config(dict(theirs.config), Z_21),
        layout="diffusers",
        stored=read_headers(TensorFiles(folder=epath.Path(folder)), spec),
        constants={},
    )
    return stored.config, stored.load()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_amplify_history": True},
        {
            "guidance_cross_attn": False,
            "zero_history_timestep": False,
            "is_amplify_history": True,
            "history_scale_mode": "scalar",
        },
    ],
)
def test_transformer(options, tmp_path):
    theirs = transformer(**options)
    config, ours = network(theirs, tmp_path)
    rng = np.random.default_rng(0)
    # Neither side is a multiple of the largest patch.
    cells, text_length = (6, 10), 7
    frames = [1 + CHUNKS.history, CHUNKS.frames]
    past, x = (rng.normal(size=(1, t, *cells, Z_21)).astype(np.float32) for t in frames)
    text = rng.normal(size=(1, text_length, reference.TEXT_WIDTH)).astype(np.float32)
    first, long, mid, short = np.split(past, [1, 5, 7], axis=1)
    parts = {"short": np.concatenate([first, short], 1), "mid": mid, "long": long}
    given = {}
    places = {"short": [0, 7], "mid": [5, 6], "long": [1, 2, 3, 4]}
    for name, part in parts.items():
        given[f"latents_history_{name}"] = torch.tensor(np.moveaxis(part, -1, 1))
        given[f"indices_latents_history_{name}"] = torch.tensor([places[name]])
    with torch.no_grad():
        expected = theirs(
            torch.tensor(np.moveaxis(x, -1, 1)),
            torch.tensor([437]),
            torch.tensor(text),
            indices_hidden_states=torch.arange(8, 11)[None],
            **given,
        ).sample
    grid, patch = (3, 3, 5), (1, 2, 2)
    tokens = patchify(jnp.asarray(x[0]), patch)
    n = len(tokens)
    ones = jnp.ones((1, n), jnp.int32)
    row = Tokens(
        x=tokens[None],
        extra=jnp.zeros((1, n, 0)),
        coords=jnp.asarray(coordinates(grid, start=8.0))[None],
        segments=ones,
        levels=jnp.float32([[0.0, 0.437]]),
        level_ids=ones,
        target_mask=ones > 0,
    )
    history = chunk_history.history_of(past, CHUNKS, patch)
    row, ids = chunk_history.prepend(row, ones, history, config.history)
    read = Context(states=text, segments=np.ones((1, text_length), np.int32), ids=ids)
    got = jax.jit(lambda *given: ours(*given))(row, {"text": read})
    got = unpatchify(got[0, -n:], grid, patch)
    assert error(got, channels_last(expected)[0]) < CLOSE


CHUNK, SEED = CHUNKS.pixel_frames(4), 5
# Theirs itself, under NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
# Small ones; theirs cannot project the velocity of a frame of a single token.
SIZES = {"base": (32, 64), "mid": (64, 128), "distilled": (64, 64)}
# kind: (pipeline, scheduler, guidance, steps of each stage, options of their call)
KINDS = {
    "base": (
        (HeliosPipeline, {}),
        (HeliosScheduler, {"stages": 1, "stage_range": [0, 1]}),
        *(4.0, 3, {}),
    ),
    "mid": (
        (HeliosPyramidPipeline, {"is_cfg_zero_star": True}),
        (HeliosScheduler, {"stages": 3}),
        *(4.0, 3, {}),
    ),
    "distilled": (
        (HeliosPyramidPipeline, {"is_distilled": True}),
        (HeliosDMDScheduler, {"stages": 3}),
        *(1.0, 2, {"is_amplify_first_chunk": True}),
    ),
}


@pytest.fixture(scope="module")
def folder(request, tokenizer, tmp_path_factory):
    """A pipeline of each kind, and the kind."""
    (build, options), (scheduler, told), *_ = KINDS[request.param]
    made = build(
        tokenizer=reference.theirs(tokenizer),
        text_encoder=reference.text_encoder(600),
        vae=reference.vae(reference.VAE_21),
        scheduler=scheduler(use_dynamic_shifting=True, **told),
        transformer=transformer(),
        **options,
    )
    path = tmp_path_factory.mktemp(request.param)
    made.save_pretrained(path)
    return request.param, reference.with_sentencepiece(path, tokenizer)


def torch_of(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy())


class Draws:
    """What our sampler draws, in the order in which theirs asks for it."""

    def __init__(self, model, given=()):
        self.request = Request(
            prompts=(PROMPT,), settings=model.config.sampling, seed=SEED
        )
        self.chunk, self.stage = -1, 0
        self.given, self.levels = list(given), []
        for draw, frames in enumerate(given):
            key = denoising.keys_of(
                self.request, chunk_beginning.WINDOW, chunk_beginning.LEVELS + draw
            )[0]
            self.levels.append(
                torch.tensor(np.asarray(jax.random.uniform(key, (frames,))))
            )
        self.draw = 0

    def rand(self, *shape, **_):
        return self.levels[self.draw]

    def randn(self, shape, **_):
        if self.draw < len(self.given):
            draw, self.draw = self.draw, self.draw + 1
            return self.normal(chunk_beginning.WINDOW, shape, draw)
        self.chunk, self.stage = self.chunk + 1, 0
        return self.normal(self.chunk, shape)

    def normal(self, window, shape, step=None):
        b, z, *rest = shape
        return torch_of(denoising.draw_noise(self.request, window, (*rest, z), step))

    def block(self, b, z, t, h, w, patch, *_):
        self.stage += 1
        noise = denoising.draw_noise(self.request, self.chunk, (t, h, w, z), self.stage)
        return torch_of(stages.correlated(noise, 1 / 3, tuple(patch[1:])))


def theirs_of(kind, folder, draws, monkeypatch, **asked):
    """What the reference makes of the same draws."""
    (build, _), _, guidance, steps, options = KINDS[kind]
    pipeline = build.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    for module in (pipeline_helios, pipeline_helios_pyramid):
        monkeypatch.setattr(module, "randn_tensor", draws.randn)
    monkeypatch.setattr(torch, "rand", draws.rand)
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator: self.mode()
    )
    if kind == "base":
        options = {"num_inference_steps": steps}
    else:
        pipeline.sample_block_noise = draws.block
        options = {**options, "pyramid_num_inference_steps_list": [steps] * 3}
    height, width = SIZES[kind]
    return pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=height,
        width=width,
        guidance_scale=guidance,
        history_sizes=[CHUNKS.long, CHUNKS.mid, CHUNKS.short],
        num_latent_frames_per_chunk=CHUNKS.frames,
        **options,
        **asked,
    ).frames[0]


def short_chunks(model):
    """The same model with shorter chunks, which take theirs less time."""
    weights = model.weights
    lengths = {
        name: getattr(CHUNKS, name) for name in ("frames", "long", "mid", "short")
    }
    chunks = dataclasses.replace(weights.config.chunks, **lengths)
    config = dataclasses.replace(weights.config, chunks=chunks)
    return Model(dataclasses.replace(weights, config=config))


def drawn_clip(kind, count):
    height, width = SIZES[kind]
    return np.random.default_rng(0).integers(
        0, 256, (count, height, width, 3), np.uint8
    )


@pytest.mark.parametrize(
    "folder, given",
    [
        ("base", "text"),
        ("base", "picture"),
        ("base", "video"),
        ("mid", "text"),
        ("distilled", "video"),
    ],
    indirect=["folder"],
)
def test_whole_pipeline(folder, given, monkeypatch):
    """Two chunks, from text, and after what is given."""
    kind, path = folder
    model = short_chunks(load(path))
    _, _, guidance, steps, _ = KINDS[kind]
    asked = {"size": SIZES[kind], "steps": steps, "seed": SEED}
    if guidance > 1:
        asked |= {"guidance": guidance, "negative_prompt": NEGATIVE}
    frames, draws, options = CHUNK + 4, Draws(model), {}
    if given == "text":
        made = model.generate(PROMPT, frames=frames, **asked)[0]
    elif given == "picture":
        shown = drawn_clip(kind, 1)
        picture = video.to_float(shown)
        made = model.animate(picture, PROMPT, frames=1 + frames, **asked)
        np.testing.assert_array_equal(made[:1], picture)
        draws = Draws(model, [1, 1])
        options = {"image": Image.fromarray(shown[0])}
    else:
        shown = drawn_clip(kind, CHUNK + 3)
        made = model.extend(video.to_float(shown), PROMPT, frames=frames, **asked)
        draws = Draws(model, [1, CHUNKS.frames])
        options = {"video": [Image.fromarray(frame) for frame in shown]}
    theirs = theirs_of(kind, path, draws, monkeypatch, num_frames=frames, **options)
    assert np.std(theirs) > 0.05
    assert psnr((made[-frames:] + 1) / 2, theirs[:frames]) > 50
