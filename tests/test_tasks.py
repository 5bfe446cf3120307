"""What every task promises: one dataclass serves every door."""

import inspect
import json
import pathlib

import numpy as np
import pytest

from sora_jax.sampling import flags, task_flags, tasks
from sora_jax.sampling.task_methods import TaskMethods
from sora_jax.sampling.tasks import TASKS, Keyframe, Stretch
from sora_jax.sampling.tasks.guided import Guided

KEYS = [Keyframe(picture="a.png"), Keyframe(picture="b.png", frame=-1, strength=0.5)]
STRETCHES = [Stretch(frame=0, prompt="a ball"), Stretch(frame=8, prompt="b", cut=True)]
# Arguments of every task, as Python hands them over, and as flags do.
GIVEN = {
    "generate": ({"frames": 9, "init_noise": "n.npy"}, {"prompt": "a"}),
    "animate": ({"image": KEYS}, {"image": ("a.png", "b.png@-1:0.5")}),
    "extend": ({"video": "a.mp4", "frames": 3, "direction": "both"}, {}),
    "loop": ({"video": "a.mp4"}, {}),
    "connect": ({"video": ("a.mp4", "b.mp4"), "frames": 4}, {}),
    "edit": ({"video": "a.mp4", "strength": 0.25}, {"prompt": "a"}),
    "inpaint": ({"video": "a.mp4", "mask": "m.png"}, {}),
    "outpaint": ({"video": "a.mp4", "outpaint": (64, 96)}, {"outpaint": "96x64"}),
    "insert": ({"video": "a.mp4", "span": [(0.5, 1)]}, {"span": ("0.5:1",)}),
    "remove": ({"video": "a.mp4", "span": [(0.5, 1)]}, {"span": ("0.5:1",)}),
    "storyboard": ({"storyboard": "s.yaml"}, {}),
    "upscale": ({"video": "a.mp4"}, {"size": "96x96"}),
}


def test_every_task_is_here():
    assert set(GIVEN) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_survives_json(name):
    task = tasks.build(TASKS[name], GIVEN[name][0])
    written = json.loads(json.dumps(task.to_json()))
    assert written["task"] == name and tasks.from_json(written) == task


@pytest.mark.parametrize("name", TASKS)
def test_flags_and_arguments_make_the_same_task(name):
    given, said = GIVEN[name]
    fields = {**given, **said}
    if isinstance(fields.get("video"), str):
        fields["video"] = (fields["video"],)
    arguments = flags.SampleFlags(task=name, **fields)
    assert task_flags.build_task(arguments) == tasks.build(TASKS[name], given)


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"generate"}))
def test_every_task_is_a_method(name):
    method = getattr(TaskMethods, name)
    named = set(inspect.signature(method).parameters)
    named |= {"video"} if "first" in named else set()
    named |= {"outpaint"} if name == "outpaint" else set()
    if issubclass(TASKS[name], Guided):  # a guide is among the options
        named |= set(Guided.arguments())
    assert set(TASKS[name].arguments()) <= named


@pytest.mark.parametrize("name", TASKS)
def test_every_argument_is_told(name):
    for argument in TASKS[name].arguments().values():
        assert argument.about


def test_stretches_survive_json():
    task = tasks.Storyboard(storyboard=STRETCHES, frames=16)
    assert tasks.from_json(json.loads(json.dumps(task.to_json()))) == task


BAD = {
    "task must be one of generate, .* got 'fly'": {"task": "fly"},
    "a task must be an object, got 7": 7,
    "video is missing: extend needs one": {"task": "extend"},
    "'colour' is no argument of extend": {"task": "extend", "video": "a", "colour": 1},
    "frames must be a whole number, got '3'": {
        "task": "extend",
        "video": "a",
        "frames": "3",
    },
    "direction must be one of forward": {
        "task": "extend",
        "video": "a",
        "direction": "up",
    },
    "image.0. must have the fields": {"task": "animate", "image": [{"file": "a.png"}]},
    "span.0. must be .from, to. in seconds": {
        "task": "remove",
        "video": "a",
        "span": [[1]],
    },
    "(?s)'strength' is no argument.*mask must be": {
        "task": "inpaint",
        "video": "a",
        "mask": 5,
        "strength": 1,
    },
}


@pytest.mark.parametrize("message", BAD)
def test_bad_json_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        tasks.from_json(BAD[message])


CLIP = np.zeros((5, 16, 16, 3), np.float32)
WRONG = [
    (tasks.Extend, {"video": (CLIP * 255).astype(np.uint8)}, "video"),
    (tasks.Extend, {"video": CLIP + 50}, "video"),
    (tasks.Extend, {"video": CLIP * np.nan}, "video"),
    (tasks.Extend, {"video": ""}, "path is empty"),
    (tasks.Extend, {"video": CLIP, "direction": "sideways"}, "direction"),
    (tasks.Generate, {"frames": True}, "frames"),
    (tasks.Generate, {"frames": 0}, "frames must be >= 1"),
    (tasks.Loop, {"frames": -1}, "frames must be >= 1"),
    (tasks.Edit, {"video": CLIP, "strength": "1"}, "strength"),
    (tasks.Upscale, {"video": CLIP, "frames": 5}, "frames must be left out"),
]


@pytest.mark.parametrize(("kind", "given", "message"), WRONG)
def test_a_task_is_checked_however_it_is_built(kind, given, message):
    for make in (lambda: kind(**given), lambda: tasks.build(kind, given)):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_path_object_is_a_path():
    assert tasks.Extend(video=pathlib.Path("a.mp4")).video == "a.mp4"


def test_deep_and_long_json_is_refused_by_name():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for data in ({"task": "extend", "video": deep}, {"task": deep}, deep):
        with pytest.raises(ValueError) as caught:
            tasks.from_json(data)
        assert len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match="no argument") as caught:
        tasks.from_json({"task": "extend", "video": "a", "x" * 10**6: 1})
    assert len(str(caught.value)) < 1000


def test_arrays_are_no_json():
    task = tasks.Extend(video=np.zeros((1, 16, 16, 3), np.float32))
    with pytest.raises(ValueError, match="video must be a file to be written as JSON"):
        task.to_json()
