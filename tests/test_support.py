"""Which published model does which task: computed, and the same as the docs tell."""

import dataclasses
import re

import numpy as np
import pytest

from sora_jax.families import HELIOS, WAN
from sora_jax.sampling.feasibility import check_segments
from sora_jax.sampling.media import MediaFiles
from sora_jax.sampling.segments import with_prompts
from sora_jax.sampling.tasks import (
    Animate,
    Connect,
    Edit,
    Extend,
    Generate,
    Inpaint,
    Insert,
    Keyframe,
    Loop,
    Outpaint,
    Remove,
    Storyboard,
    Stretch,
    Upscale,
)
from sora_jax.sampling.tasks.context import TaskContext
from tests.helpers import pages

SIZE = (64, 128)  # Helios denoises it at a quarter of its sides, too
MODELS = {**WAN.models, **HELIOS.models}
CLIP = np.zeros((9, *SIZE, 3), np.float32)
PICTURE = CLIP[:1]
FIRST, LAST = Keyframe(picture=PICTURE), Keyframe(picture=PICTURE, frame=-1)
REGION = np.zeros(CLIP.shape[:3], np.float32)
REGION[:, 8:24, 8:40] = 1
# In the order of the columns of the page.
TASKS = {
    "generate": Generate(),
    "first picture": Animate(image=[FIRST]),
    "first and last": Animate(image=[FIRST, LAST]),
    "any picture": Animate(image=[Keyframe(picture=PICTURE, frame=4)]),
    "extend": Extend(video=CLIP),
    "extend backward": Extend(video=CLIP, direction="backward"),
    "connect, loop": Connect(video=(CLIP, CLIP)),
    "inpaint, outpaint": Inpaint(video=CLIP, mask=REGION),
    "insert, remove": Remove(video=CLIP, span=((0.2, 0.4),)),
    "edit, upscale": Edit(video=CLIP, strength=0.5),
    "storyboard": Storyboard(
        storyboard=[Stretch(frame=0, prompt="a"), Stretch(frame=4, prompt="b")],
        frames=9,
    ),
    "control, reference": Generate(control=CLIP, reference=[PICTURE]),
}
# Tasks that share a column with another, and are done by the same models.
LIKE = {
    "connect, loop": (Loop(video=CLIP),),
    "inpaint, outpaint": (Outpaint(video=CLIP[:, :32, :64], outpaint=SIZE),),
    "insert, remove": (Insert(video=CLIP, span=((0.2, 0.4),)),),
    "edit, upscale": (Upscale(video=CLIP[:, ::2, ::2]),),
}


def does(model, task):
    """Whether a model takes a task's request."""
    settings = dataclasses.replace(
        model.sampling, size=SIZE, frames=9, window=None, fps=8.0
    )
    small = dataclasses.replace(model, sampling=settings)
    context = TaskContext(
        model=small, settings=settings, media=MediaFiles(settings=settings)
    )
    try:
        segments = with_prompts(task.segments(context), ("a cat",), 0)
        check_segments(segments, small)
    except ValueError as error:
        assert model.name in str(error), error  # and not for another reason
        return False
    return True


@pytest.fixture(scope="module")
def table():
    """The pages' rows by model, a cell for each task."""
    found = {}
    for page in ("wan.md", "helios.md"):
        told = r"^\| (?:weights|`(?:wan\d|helios_)\w+`) \|.*yes.*$|^\| weights \|.*$"
        header, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in re.findall(told, (pages.DOCS / page).read_text(), re.MULTILINE)
        ]
        assert header[1:] == list(TASKS)
        found |= {row[0].strip("`"): row[1:] for row in rows}
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_docs_tell_what_a_model_does(table, name):
    model = MODELS[name]
    told = dict(zip(TASKS, table[name], strict=True))
    for column, task in TASKS.items():
        done = does(model, task)
        assert told[column] == ("yes" if done else "–"), (column, done)
        for other in LIKE.get(column, ()):
            assert does(model, other) == done, (column, other.name)
