"""Models with a control branch (VACE): folders, tasks, and what they refuse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from sora_jax.condition import Guide
from sora_jax.data.patches import coordinates
from sora_jax.models.dit import DiT
from sora_jax.sampling.control_encoding import encode_control, fold_made, on_white
from sora_jax.sampling.model import Model
from sora_jax.types import Condition, Context, Tokens
from sora_jax.weights import folders
from sora_jax.weights.export import export
from tests.helpers import tiny_wan
from tests.helpers.tiny import make
from tests.test_folders import same_parameters

DRAWN = np.random.default_rng(0)
CLIP = DRAWN.uniform(-1, 1, (5, 32, 32, 3)).astype(np.float32)
PICTURE = DRAWN.uniform(-1, 1, (1, 20, 60, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def weights(tiny):
    return tiny_wan.controls(tiny)


@pytest.fixture(scope="module")
def model(weights):
    return Model(weights)


def test_both_layouts_hold_the_same_model(weights, tmp_path):
    export(str(tmp_path / "diffusers"), weights)
    path = tmp_path / "original"
    tiny_wan.lay_out(weights, tmp_path / "diffusers", path, "vace")
    for folder in (tmp_path / "diffusers", path):
        loaded = folders.load_weights(folder)
        assert loaded.config.dit == weights.config.dit
        assert loaded.config.conditioning == "control"
        same_parameters(loaded.networks["dit"], weights.networks["dit"])


def run(dit, n, control):
    """Run a transformer on one row of tokens, which is the same for every one."""
    rng = np.random.default_rng(1)
    ones = jnp.ones((1, n), jnp.int32)
    config = dit.config
    features = (config.patch_features, config.extra_features)
    x, extra = (jnp.asarray(rng.normal(size=(1, n, f)), jnp.float32) for f in features)
    tokens = Tokens(
        x=x,
        extra=extra,
        coords=jnp.asarray(coordinates((1, 2, n // 2)))[None],
        segments=ones,
        levels=jnp.float32([[0.0, 0.7]]),
        level_ids=ones,
        target_mask=ones > 0,
        control=control,
    )
    (_, width), *_ = config.contexts
    text = jnp.asarray(rng.normal(size=(1, 3, width)), jnp.float32)
    read = Context(states=text, segments=jnp.ones((1, 3), jnp.int32), ids=ones)
    return jax.jit(lambda *given: dit(*given))(tokens, {"text": read})


def test_a_fresh_branch_adds_nothing_and_a_trained_one_does(dit_config):
    plain = dataclasses.replace(dit_config, depth=3)
    config = dataclasses.replace(plain, control_channels=5, control_layers=(0, 2))
    base, branched = make(DiT, plain), make(DiT, config, seed=3)
    control = jnp.ones((1, 8, config.control_features))
    for name in ("embed", "place", "time", "time_table", "contexts", "blocks", "head"):
        setattr(branched, name, getattr(base, name))
    branched.head_modulation = base.head_modulation
    expected = run(base, 8, None)
    assert np.abs(run(branched, 8, control) - expected).max() > 1e-3
    out = branched.control.blocks.out
    out.kernel.set_value(jnp.zeros_like(out.kernel[...]))
    out.bias.set_value(jnp.zeros_like(out.bias[...]))
    np.testing.assert_allclose(run(branched, 8, control), expected, atol=1e-5)
    with pytest.raises(ValueError, match="tokens.control is missing"):
        run(branched, 8, None)


def test_a_guide_changes_the_video(model):
    ask = {"steps": 2, "seed": 1}
    plain = model.generate("a cat", **ask)
    for guide in (
        {"control": CLIP},
        {"reference": PICTURE},
        {"reference": [PICTURE, CLIP[:1]], "control": CLIP, "control_scale": 0.5},
    ):
        guided = model.generate("a cat", **ask, **guide)
        assert guided.shape == plain.shape and np.isfinite(guided).all()
        assert np.abs(guided - plain).max() > 1e-3
    none = model.generate("a cat", **ask, control=CLIP, control_scale=0.0)
    other = model.generate("a cat", **ask, control=-CLIP, control_scale=0.0)
    np.testing.assert_allclose(none, other, atol=1e-5)


def test_tasks_that_its_base_cannot_do(model):
    """Given pixels stay as they are, wherever they lie."""
    region = np.zeros(CLIP.shape[:3], np.float32)
    region[:, 8:24, 8:24] = 1
    made = model.inpaint(CLIP, region, "a cat", steps=1, reference=PICTURE)
    np.testing.assert_array_equal(made[region == 0], CLIP[region == 0])
    made = model.extend(CLIP, "a cat", frames=4, direction="backward", steps=1)
    np.testing.assert_array_equal(made[4:], CLIP)
    made = model.connect(CLIP, CLIP[::-1], "a cat", frames=3, steps=1)
    assert made.shape == (13, 32, 32, 3)


def test_a_guide_from_files(model, weights, tmp_path):
    path = str(tmp_path / "cat.png")
    Image.fromarray(np.uint8(127.5 * (PICTURE[0] + 1))).save(path)
    made = model.animate(CLIP[:1], "a cat", reference=[path], steps=1)
    np.testing.assert_array_equal(made[0], CLIP[0])


def test_wrong_guides_are_refused(model, tiny):
    with pytest.raises(ValueError, match=r"control must be of shape \(5, 32, 32\)"):
        model.generate("a cat", control=CLIP[:4], size=(32, 32), steps=1)
    with pytest.raises(ValueError, match="control_scale must be from 0 to 10, got 11"):
        model.generate("a cat", control_scale=11, steps=1)
    with pytest.raises(ValueError, match="(?s)control: .*no control branch.*reference"):
        Model(tiny).generate("a cat", control=CLIP, reference=PICTURE, steps=1)


def test_a_control_holds_kept_pixels_the_guide_and_the_mask(weights):
    mask = np.zeros(CLIP.shape[:3], np.float32)
    mask[:, :16] = 1
    condition = Condition(pixels=CLIP * mask[..., None], mask=mask)
    guide = Guide(control=-CLIP, references=(PICTURE[0],))
    (control,) = encode_control(weights.vae, [condition], guide)
    assert control.shape == (1 + 2, 4, 4, 96)
    (other,) = encode_control(weights.vae, [condition], Guide(control=CLIP))
    np.testing.assert_allclose(control[1:, ..., :16], other[..., :16], atol=1e-6)
    assert np.abs(control[1:, ..., 16:32] - other[..., 16:32]).max() > 1e-3
    assert not control[0, ..., 16:].any()
    assert not control[1:, :2, :, 32:].any() and (control[1:, 2:, :, 32:] == 1).all()


def test_masks_are_folded_and_references_lie_on_white():
    made = np.zeros((9, 16, 16), bool)
    made[4, 1, 3] = made[1, 8, 8] = True
    folded = fold_made(made, 4, 8)  # frames 1, 4 and 7
    assert folded.shape == (3, 2, 2, 64) and folded.sum() == 2
    assert folded[1, 0, 0, 8 + 3] == folded[0, 1, 1, 0] == 1
    canvas = on_white(np.full((10, 40, 3), -1, np.float32), 16, 32)
    assert (canvas[4:12] == -1).all() and (canvas[:4] == 1).all()
