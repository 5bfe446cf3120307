"""The judge of operations passes the truth, and garbage fools no measure of it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import inspect
import itertools
import json
import math

import numpy as np
import pytest

from sora_jax.evals import follow, operated, operation_results, seams
from sora_jax.evals.operation_options import TASKS, Options, check, chosen
from sora_jax.evals.operation_trial import draw, measure, save_worst
from sora_jax.evals.operations import main
from sora_jax.sampling.model import Model

# One edit stands for all, and one storyboard.
LOOKED_AT = sorted(
    TASKS.keys()
    - {"animate-ends", "loop-any", "edit-0.5", "edit-0.9", "storyboard-cut"}
)
FAILED_BY_STANDING_STILL = (
    "seam",
    "place (line)",
    "comes out",
    "keeps its colour (",
    "changes",
    "all of these",
    "gradient energy within",
)
OPERATIONS = [
    name
    for name in vars(operated.Model)
    if callable(getattr(Model, name, None)) and name[0] != "_"
]


@functools.cache
def drawn(name: str) -> list[operated.Case]:
    # What is read takes long; edits are of two kinds, and so is what is hidden.
    count = 2 if name in ("edit-0.7", "behind", "predict") else 1
    return list(itertools.islice((draw(TASKS[name], Options())), count))


def moving(frames: int, steps: np.ndarray | float) -> np.ndarray:
    """A sheet that gets lighter from frame to frame."""
    values = np.cumsum(np.broadcast_to(steps, frames - 1)) - 1
    clip = np.concatenate([[-1.0], values])[:, None, None, None]
    return np.broadcast_to(clip, (frames, 8, 8, 3)).astype(np.float32)


def test_a_seam_is_a_change_unlike_those_around_it():
    smooth = moving(33, 0.04)
    np.testing.assert_allclose(seams.ratio(smooth, 16), 1, rtol=1e-4)
    jump = np.concatenate([smooth[:16], smooth[20:]])
    np.testing.assert_allclose(seams.ratio(jump, 16), 5, rtol=1e-4)
    stop = np.concatenate([smooth[:17], smooth[16:]])
    assert seams.ratio(stop, 17) == 0
    # What changes less than a byte is measured by a byte.
    np.testing.assert_allclose(
        seams.ratio(moving(33, 1 / 255), 16), 0.5, rtol=1e-3, atol=0
    )


def test_a_seam_may_be_anywhere_and_a_cut_nearby_does_not_count():
    steps = np.full(32, 0.02)
    steps[11] = 0.5
    for join in (1, 9, 16, 32):
        np.testing.assert_allclose(seams.ratio(moving(33, steps), join), 1, rtol=1e-4)
    there = moving(9, 0.1)
    loop = np.concatenate([there, there[-2:0:-1]])
    np.testing.assert_allclose(seams.ratio(loop, 0), 1, rtol=1e-4)
    np.testing.assert_allclose(seams.ratio(there, 0), 8, rtol=1e-4)


def test_what_is_idle_stands_still():
    pixels = np.broadcast_to(np.arange(5.0)[:, None, None, None], (5, 1, 2, 3))
    known = np.zeros((5, 1, 2), bool)
    known[[1, 3], :, 0] = True
    shown = operated.idle(pixels.astype(np.float32), known)
    assert shown[:, 0, 0, 0].tolist() == [1, 1, 1, 3, 3]
    assert not shown[:, :, 1].any()


def test_nothing_is_far_from_everything():
    places = np.array([[0.5, 0.5], [math.nan, math.nan], [9.0, 9.0]])
    found = follow.distances(places, np.full((3, 2), 0.5))
    assert found.tolist() == [0, 1, 1]


def grey(case: operated.Case) -> np.ndarray:
    return np.zeros_like(case.idle)


def still(case: operated.Case) -> np.ndarray:
    return case.idle


def fading(case: operated.Case) -> np.ndarray:
    """What is right, darker and darker."""
    assert case.truth is not None
    light = np.linspace(1, 0.5, len(case.truth), dtype=np.float32)
    return (case.truth + 1) * light[:, None, None, None] - 1


def truth(case: operated.Case) -> np.ndarray:
    assert case.truth is not None
    return case.truth


def goodness(found: list) -> float:
    """A share, or a number that is the larger the better, and 0 or 1 for the truth."""
    if found[0].is_right is not None:
        return float(np.mean([item.is_right for item in found]))
    value = float(np.mean([item.value for item in found]))
    if "dB" in found[0].measure:
        return min(value / 35, 1)
    return 1 - abs(value - ("energy" in found[0].measure)) * 2


def looked_at(name: str, video) -> dict[str, float]:
    found = collections.defaultdict(list)
    for case in drawn(name):
        for item in case.look(video(case)):
            found[item.measure].append(item)
    return {measure: goodness(items) for measure, items in found.items()}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_every_measure_passes_the_truth_alone(name):
    for row, value in looked_at(name, truth).items():
        assert value >= 0.95, (name, row, value)
    bad = [looked_at(name, fading if name == "minute" else still)]
    for row, value in bad[0].items():
        assert not (row.startswith(FAILED_BY_STANDING_STILL) and value > 0), (name, row)
    if not all(value <= 0.7 for value in bad[0].values()):
        bad.append(looked_at(name, grey))
    for row in bad[0]:
        assert min(found[row] for found in bad) <= 0.7, (name, row, bad)


class Asked:
    """Gives the truth to who asks as one can ask a model."""

    def __init__(self, answers):
        self.answers = iter(answers)
        self.settings = []

    def reconstruct(self, pixels):
        assert pixels.shape[1] % 4 == 1
        return pixels


def _answering(name):
    def answer(self, *args, **options):
        bound = inspect.signature(getattr(Model, name)).bind(self, *args, **options)
        self.settings.append(bound.arguments["options"])
        if name != "generate":
            return next(self.answers)
        return np.stack([next(self.answers) for _ in bound.arguments["prompts"]])

    return answer


for name in OPERATIONS:
    if name != "reconstruct":
        setattr(Asked, name, _answering(name))


@pytest.mark.parametrize("name", TASKS)
def test_models_are_asked_as_they_can_be(name):
    case = drawn(name)[0]
    answer = case.idle if case.truth is None else case.truth
    model = Asked([answer])
    assert isinstance(model, operated.Model)
    task = TASKS[name]
    if task.generates is None:
        made = case.make(model, seed=3, steps=2)
    else:
        (made,) = model.generate([case.prompt], **task.generates, seed=3, steps=2)
    assert made.shape == case.idle.shape == (*case.known.shape, 3)
    assert {"seed": 3, "steps": 2}.items() <= model.settings[0].items()


def seams_of(task: str, column: str, outcomes) -> tuple[int, int]:
    """How many seams are good, and of how many."""
    found = [
        finding.is_right
        for outcome in outcomes
        if outcome.task == task
        for finding in outcome.findings.get(column, ())
        if finding.measure.startswith("seam")
    ]
    return sum(found), len(found)


def test_the_whole_measure(tmp_path):
    options = Options(
        cases=3,
        controls=2,
        tasks=("rolling", "extend-for"),
        batch=2,
        save=str(tmp_path / "worst"),
        worst=1,
    )
    with pytest.raises(ValueError, match="--tasks must be .*'extend-for'"):
        check(options)
    options = dataclasses.replace(options, tasks=("rolling", "extend-forward"))
    check(options)
    tasks = chosen(options)
    cases = {name: list(draw(task, options)) for name, task in tasks.items()}
    answers = [case.truth for task in cases.values() for case in task]
    spoilt = cases["extend-forward"][1]
    answers[1] = spoilt.idle
    model = Asked(answers)
    results = measure(model, options)
    assert [item["seed"] for item in model.settings] == [0, 1, 2, 0, 2]
    for column, counts in {
        "model": (2, 3),
        "truth": (2, 2),
        "vae": (2, 2),
        "idle": (0, 2),
    }.items():
        assert seams_of("extend-forward", column, results.outcomes) == counts
    assert seams_of("rolling", "model", results.outcomes) == (6, 6)
    text = operation_results.table(results.outcomes)
    assert "| extend-forward: known pixels equal" in text
    save_worst(results, options)
    names = [path.name for path in (tmp_path / "worst").glob("*.mp4")]
    assert len(names) == 2 and f"extend-forward_{spoilt.index:05d}.mp4" in names


def test_a_video_of_another_shape_is_an_error():
    options = Options(cases=1, tasks=("extend-forward",))
    model = Asked([np.zeros((16, 64, 64, 3), np.float32)])
    with pytest.raises(ValueError, match=r"made \(16, 64.*where \(17, 64"):
        measure(model, options)


def test_bad_options_are_all_named():
    options = Options(
        weights="none", cases=0, batch=0, steps=-1, tasks=("ext",), out="a", save="b"
    )
    flags = ("cases", "batch", "steps", "tasks must be.*'ext'", "save", "out")
    with pytest.raises(ValueError, match="(?s)" + ".*".join(f"--{f}" for f in flags)):
        check(options)


def test_the_command_prints_a_table_and_writes_every_finding(tmp_path, capsys):
    out = tmp_path / "measured.json"
    arguments = ["--weights", "none", "--cases", "1", "--tasks", "loop", "upscale"]
    out.write_text("somebody's")
    main([*arguments, "--out", str(out)])
    text = capsys.readouterr().out
    assert "| loop-any: seam" in text and "nan" not in text
    assert out.read_text() == "somebody's"
    content = json.loads((tmp_path / "measured-1.json").read_text())
    assert content["options"]["cases"] == 1 and len(content["cases"]) == 4
    assert content["measures"]["upscale"]["PSNR, dB"]["truth"]["cases"] == 1
