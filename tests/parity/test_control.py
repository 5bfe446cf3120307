"""Pipelines with a control branch (VACE) equal the reference's."""

import numpy as np
import pytest
from PIL import Image

from sora_jax.data import video
from sora_jax.diffusion.conditioning import grey_out
from sora_jax.sampling.opening import load
from tests.parity import reference
from tests.parity.reference import ASKED, PROMPT, noise_of, psnr, theirs_of

FRAMES, SIZE = ASKED["frames"], ASKED["size"]
DRAWN = np.random.default_rng(0)
CLIP = DRAWN.integers(0, 256, (FRAMES, *SIZE, 3), np.uint8)
# Wider than the video, higher, and of its size.
PICTURES = [
    DRAWN.integers(0, 256, (*sides, 3), np.uint8)
    for sides in ((40, 150), (90, 30), SIZE)
]
REGION = np.zeros((FRAMES, *SIZE), np.float32)
for frame in range(FRAMES):
    REGION[frame, 8:40, 5 * frame : 5 * frame + 37] = 1


def images(pixels):
    return [Image.fromarray(frame) for frame in pixels]


def masks():
    return [Image.fromarray(np.uint8(255 * frame)) for frame in REGION]


@pytest.fixture(scope="module")
def model(control_folder):
    return load(control_folder)


@pytest.mark.parametrize("case", ["text", "control", "mask", "references"])
def test_whole_pipeline(model, control_folder, case):
    pipeline = reference.WanVACEPipeline.from_pretrained(control_folder)
    control, ours, theirs = video.to_float(CLIP), {}, {}
    references = [video.to_float(picture)[None] for picture in PICTURES]
    if case == "control":
        ours, theirs = {"control": control}, {"video": images(CLIP)}
        ours["control_scale"] = theirs["conditioning_scale"] = 0.7
    if case == "references":
        # Theirs come before the video in reversed order.
        ours = {"reference": references, "control": control}
        theirs = {"video": images(CLIP)}
        theirs["reference_images"] = [Image.fromarray(x) for x in PICTURES[::-1]]
    if case == "mask":
        grey = np.where(REGION[..., None] > 0, 127, CLIP).astype(np.uint8)
        theirs = {"video": images(grey), "mask": masks()}
        # What is to be made is grey, as theirs is told: not quite 0.
        ours = {"condition": grey_out(control, 1 - REGION)}
        ours["control"] = np.full_like(control, 127 / 127.5 - 1)
    noise = noise_of(model, FRAMES + 4 * len(ours.get("reference", ())), SIZE)
    asked = {**ASKED, "init_noise": noise}
    made = (model.generate(PROMPT, **asked, **ours)[0] + 1) / 2
    shown = theirs_of(pipeline, noise, **theirs)[0]
    if case == "mask":  # ours keeps the given pixels, theirs shows them through the VAE
        made, shown = made[REGION > 0], shown[REGION > 0]
    assert np.std(shown) > 0.05
    assert psnr(made, shown) > 50
