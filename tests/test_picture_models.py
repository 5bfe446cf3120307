"""Wan's image-to-video models: folders, which pictures they take, what they read."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from sora_jax.data.video import to_float
from sora_jax.families.wan import models
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Animate, Keyframe
from sora_jax.weights import folders
from sora_jax.weights.export import export
from tests.helpers import tiny_wan
from tests.test_folders import same_parameters

PUBLISHED = {
    "i2v": models.WAN21_I2V_14B,
    "flf2v": models.WAN21_FLF2V_14B,
    "a14b": models.WAN22_I2V_A14B,
}
PICTURES = np.random.default_rng(0).uniform(-1, 1, (3, 1, 32, 32, 3)).astype(np.float32)
FIRST, LAST = (Keyframe(picture=PICTURES[i], frame=-i) for i in range(2))
MIDDLE = Keyframe(picture=PICTURES[2], frame=2)


@pytest.fixture(scope="module", params=PUBLISHED)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def animates(tiny, kind):
    return tiny_wan.animates(tiny, PUBLISHED[kind])


def test_both_layouts_hold_the_same_model(animates, kind, tmp_path):
    export(str(tmp_path / "diffusers"), animates)
    path = tmp_path / "original"
    tiny_wan.lay_out(
        animates, tmp_path / "diffusers", path, "flf2v" if kind == "flf2v" else "i2v"
    )
    for folder in (tmp_path / "diffusers", path):
        loaded = folders.load_weights(folder)
        assert loaded.config.dit == animates.config.dit
        assert loaded.config.keyframes == animates.config.keyframes
        for name in animates.networks.loaders:
            if name != "vae":  # whose statistics the original layout lacks
                same_parameters(loaded.networks[name], animates.networks[name])
    # Pictures are resized as the publishers of each layout do.
    if kind != "a14b":
        assert loaded.config.picture == dataclasses.replace(
            tiny_wan.PICTURE, fit="squash"
        )


@pytest.mark.parametrize(
    ("keyframes", "kinds"),
    [
        ([FIRST], ("i2v", "a14b")),
        ([FIRST, LAST], ("flf2v", "a14b")),
        ([LAST], ()),
        ([FIRST, MIDDLE], ()),
    ],
)
def test_a_model_takes_the_pictures_that_it_was_trained_on(
    animates, kind, keyframes, kinds
):
    if kind in kinds:
        made = Model(animates).animate(keyframes, "a cat", steps=1)
        for keyframe in keyframes:
            np.testing.assert_array_equal(made[keyframe.frame], keyframe.picture[0])
        return
    with pytest.raises(ValueError, match=r"needs the first.* got frames \["):
        Model(animates).animate(keyframes, "a cat", steps=1)


def test_two_clips_are_connected_from_end_to_end(animates, kind):
    model, clips = Model(animates), np.concatenate([PICTURES[:2]] * 2, 1)
    if kind == "i2v":
        with pytest.raises(ValueError, match="needs the first"):
            model.connect(*clips, "a cat", frames=3, steps=1)
        return
    made = model.connect(*clips, "a cat", frames=3, steps=1)
    np.testing.assert_array_equal(made[[0, 1, 5, 6]], np.concatenate(clips))
    with pytest.raises(ValueError, match="frames .* got 4: ask for 3 or 7"):
        model.connect(*clips, "a cat", frames=4, steps=1)


def test_text_alone_and_parts_of_frames_are_refused(animates):
    model = Model(animates)
    with pytest.raises(ValueError, match="needs the first .* got no picture"):
        model.generate("a cat")
    clip, mask = np.zeros((5, 32, 32, 3)), np.zeros((5, 32, 32))
    mask[:, 8:16] = 1
    with pytest.raises(ValueError, match="needs the first .* got parts of frames"):
        model.inpaint(clip, mask, "a cat")


def test_long_videos_go_on_from_the_last_frame(animates, kind):
    model = Model(animates)
    ask = {"frames": 9, "window": 5, "steps": 1}
    if kind == "flf2v":
        with pytest.raises(ValueError, match="makes at most 5 frames"):
            model.animate([FIRST, LAST], "a cat", **ask)
        return
    whole = model.animate([FIRST], "a cat", **ask)
    assert whole.shape == (9, 32, 32, 3) and np.isfinite(whole).all()
    assert model.extend(whole, "a cat", frames=3, steps=1).shape == (12, 32, 32, 3)


def test_the_encoder_sees_pictures_as_they_were(tiny, tmp_path):
    """Not as they are resized to the size of the video; and the video shows it."""
    model = Model(tiny_wan.animates(tiny, PUBLISHED["i2v"]))
    large = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    path = str(tmp_path / "large.png")
    Image.fromarray(large).save(path)
    settings = {"size": (32, 32), "steps": 2}
    task = Animate(image=[Keyframe(picture=path)])
    (segment,) = task.segments(model.context(settings))
    assert segment.request.condition.pixels.shape[1:3] == (32, 32)
    np.testing.assert_array_equal(segment.request.pictures[0], to_float(large))
    # The same first frame, of another picture.
    frame = segment.request.condition.pixels[:1]
    shown, other = (
        model.animate([Keyframe(picture=x)], **settings) for x in (path, frame)
    )
    np.testing.assert_array_equal(shown[0], other[0])
    assert np.abs(shown[1:] - other[1:]).max() > 1e-3
