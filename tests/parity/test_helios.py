"""Helios' transformer and pipelines equal the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import HeliosTransformer3DModel
from etils import epath

from sora_jax.config import ChunksConfig
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.families import HELIOS
from sora_jax.families.family import TensorFiles
from sora_jax.families.helios import transformer_json
from sora_jax.sampling import chunk_history
from sora_jax.types import Context, Tokens
from sora_jax.weights.network import StoredNetwork, read_headers
from tests.parity import reference
from tests.parity.reference import Z_21
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


def load(theirs, folder):
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
    config, ours = load(theirs, tmp_path)
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
