"""The README's table of models says what each of them does."""

import dataclasses
import re

import numpy as np

from sora_jax.families import HELIOS, WAN
from sora_jax.limits import UNLIMITED
from sora_jax.sampling.tasks import Keyframe, Stretch
from sora_jax.weights import bundle
from tests.helpers.grey import Grey
from tests.helpers.paths import ROOT

CLIP = np.zeros((17, 64, 64, 3), np.float32)
ROWS = {
    "generate: a video or an image from text": [
        lambda m: m.generate("a", frames=17, size=(64, 64)),
        lambda m: m.generate("a", frames=1, size=(64, 64)),
    ],
    "animate a first picture": [lambda m: m.animate(CLIP[:1], "a", frames=17)],
    "animate through any keyframes": [lambda m: m.animate(KEYS, "a", frames=17)],
    "extend forward": [lambda m: m.extend(CLIP, "a", frames=16)],
    "extend backward, connect, loop": [
        lambda m: m.extend(CLIP, "a", frames=16, direction="backward"),
        lambda m: m.connect(CLIP, CLIP, "a", frames=8),
        lambda m: m.loop(CLIP, "a", frames=8),
        lambda m: m.loop(prompt="a", frames=32, size=(64, 64)),
    ],
    "insert, remove": [
        lambda m: m.insert(CLIP, "a", span=[(0.5, 1.5)], fps=8),
        lambda m: m.remove(CLIP, "a", span=[(0.5, 1.0)], fps=8),
    ],
    "inpaint, outpaint": [
        lambda m: m.inpaint(CLIP, np.ones((17, 64, 64), np.float32), "a"),
        lambda m: m.outpaint(CLIP, "a", size=(96, 96)),
    ],
    "edit, upscale": [
        lambda m: m.edit(CLIP, "a"),
        lambda m: m.upscale(CLIP, "a", size=(128, 128)),
    ],
    "storyboard, without pictures": [
        lambda m: m.storyboard(SHOTS, frames=17, size=(64, 64))
    ],
    "videos longer than a window": [
        lambda m: m.generate("a", frames=241, size=(64, 64))
    ],
}
KEYS = [Keyframe(picture=CLIP[:1], frame=frame) for frame in (0, 8)]
SHOTS = [Stretch(frame=frame, prompt="a") for frame in (0, 8)]
COLUMNS = {
    "default": ["default"],
    "Wan 2.1 1.3B, 14B": ["wan21_1b3", "wan21_14b"],
    "Wan 2.2 5B": ["wan22_5b"],
    "Wan 2.2 A14B": ["wan22_a14b"],
    "Wan 2.1 VACE": ["wan21_vace_1b3", "wan21_vace_14b"],
    "Helios": list(HELIOS.models),
}


def works(call, model):
    try:
        call(model)
    except ValueError:
        return False
    return True


def test_the_table_of_models_says_what_works(weights):
    text = (ROOT / "README.md").read_text()
    table = re.search(r"^\| \| default .*?\n\n", text, re.MULTILINE | re.DOTALL)
    head, _, *lines = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table[0].strip().splitlines()
    )
    assert head[1:] == list(COLUMNS) and [line[0] for line in lines] == list(ROWS)
    configs = {**WAN.models, **HELIOS.models, "default": bundle.describe(bundle.ASSETS)}
    for name, *cells in lines:
        for cell, models in zip(cells, COLUMNS.values(), strict=True):
            for each in models:
                known = dataclasses.replace(weights, config=configs[each])
                model = Grey(known, limits=UNLIMITED)
                found = [works(call, model) for call in ROWS[name]]
                assert all(found) or not any(found), (name, each, found)
                assert cell == ("yes" if found[0] else "–"), (name, each)
