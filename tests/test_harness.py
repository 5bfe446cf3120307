"""The evaluation's command: cases, controls, shares and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from sora_jax import runtime
from sora_jax.evals import harness, results
from sora_jax.evals.subject import Subject
from sora_jax.worlds.playground.judge.cases import prompts
from sora_jax.worlds.playground.judge.command import (
    JudgeOptions,
    check_options,
    main,
    suites,
)


class Oracle:
    """Gives the truth of each prompt, but what is replaced; its VAE blurs."""

    def __init__(self, options: JudgeOptions, **replaced: np.ndarray):
        self.videos, self.settings = {}, []
        for name, suite in suites(options).items():
            for case in harness.draw_cases(suite, options):
                answer = case.baseline if case.truth is None else case.truth
                self.videos[case.prompt] = replaced.get(name, answer)
        self.subject = Subject(
            perform=self.perform,
            reconstruct=self.reconstruct,
            time_factor=4,
            space_unit=8,
        )

    def perform(self, task, prompts, **settings):
        self.settings.append(settings)
        return [self.videos[prompt] for prompt in prompts]

    def reconstruct(self, pixels):
        assert pixels.shape[1] % 4 == 1
        return ndimage.gaussian_filter(pixels, (0.0, 0.0, 0.7, 0.7, 0.0))


def run(options: JudgeOptions, **replaced: np.ndarray) -> results.Results:
    check_options(options)
    subject = Oracle(options, **replaced).subject
    return harness.run(suites(options), subject, options)


def counts(found: results.Results, measure: str, column: str) -> tuple[int, int]:
    """How many findings are right, and of how many."""
    items = results.tally(found)["generate", measure][column]
    return sum(item.is_right is True for item in items), len(items)


def test_videos_from_prompts_are_judged_beside_controls(tmp_path):
    options = JudgeOptions(
        cases=5, frames=9, batch=4, save=str(tmp_path / "worst"), worst=2
    )
    found = run(options)
    results.save_worst(found, options)
    for column in ("model", "truth"):
        assert counts(found, prompts.EVERYTHING, column) == (5, 5)
    assert counts(found, prompts.EVERYTHING, "shuffled")[0] <= 1
    text = results.table(found)
    assert "truth through VAE" in text and "baseline" not in text
    content = json.loads(json.dumps(results.to_json(found)))
    assert content["measures"]["generate"]["colour"]
    assert len(list((tmp_path / "worst").glob("*.mp4"))) == 2
    for outcome in found.outcomes:
        whole, objects = (item.value for item in outcome.findings["vae"][-2:])
        assert whole and objects and objects < whole


def test_prompts_that_state_a_fact_are_judged(tmp_path):
    options = JudgeOptions(
        fact="gravity", cases=3, frames=9, batch=2, save=str(tmp_path), worst=1
    )
    found = run(options)
    assert [outcome.index for outcome in found.outcomes] != list(range(3))
    assert counts(found, "gravity", "truth")[1] >= 3
    assert counts(found, prompts.EVERYTHING, "model") == (3, 3)
    # Videos go by the numbers that clips have in the split.
    results.save_worst(found, options)
    (sidecar,) = tmp_path.glob("*.json")
    (index,) = (o.index for o in found.outcomes if f"{o.index:05d}" in sidecar.name)
    prompt = options.prompts().source(options.seed).captions(index)[1]
    assert json.loads(sidecar.read_text())["prompt"] == prompt


def seams_of(found: results.Results, task: str, column: str) -> tuple[int, int]:
    """How many seams are good, and of how many."""
    items = [
        finding.is_right is True
        for outcome in found.outcomes
        if outcome.task == task
        for finding in outcome.findings.get(column, ())
        if finding.measure.startswith("seam")
    ]
    return sum(items), len(items)


def test_tasks_are_scored_beside_controls(tmp_path):
    options = JudgeOptions(
        cases=3,
        controls=2,
        tasks=("rolling", "extend-forward"),
        batch=2,
        save=str(tmp_path / "worst"),
        worst=1,
    )
    check_options(options)
    asked = suites(options)
    oracle = Oracle(options)
    spoilt = list(harness.draw_cases(asked["extend-forward"], options))[1]
    oracle.videos[spoilt.prompt] = spoilt.baseline
    found = harness.run(asked, oracle.subject, options)
    assert [item["seed"] for item in oracle.settings] == [0, 1, 2, 0, 2]
    for column, expected in {
        "model": (2, 3),
        "truth": (2, 2),
        "vae": (2, 2),
        "baseline": (0, 2),
    }.items():
        assert seams_of(found, "extend-forward", column) == expected
    assert seams_of(found, "rolling", "model") == (6, 6)
    text = results.table(found)
    assert "| extend-forward: given pixels equal" in text
    assert "shuffled" not in text
    results.save_worst(found, options)
    names = [path.name for path in (tmp_path / "worst").glob("*.mp4")]
    assert len(names) == 2 and f"extend-forward_{spoilt.index:05d}.mp4" in names


def test_a_video_of_another_shape_is_an_error():
    options = JudgeOptions(cases=1, tasks=("extend-forward",))
    wrong = {"extend-forward": np.zeros((16, 64, 64, 3), np.float32)}
    with pytest.raises(ValueError, match=r"made \(16, 64.*where \(17, 64"):
        run(options, **wrong)


@pytest.mark.parametrize(
    ("fact", "kind", "frames", "told"),
    [
        ("relation", "one", 17, "relation .* of --kind one with"),
        ("gravity", "", 1, "gravity .* first 50 with --frames 1"),
        ("count", "", 17, "must be one of background, .* got 'count'"),
    ],
)
def test_a_fact_that_no_prompt_states_is_refused(monkeypatch, fact, kind, frames, told):
    monkeypatch.setattr(prompts, "_ENOUGH", 50)
    with pytest.raises(ValueError, match="--fact " + told):
        check_options(JudgeOptions(fact=fact, kind=kind, frames=frames))


def test_bad_options_are_all_named(tmp_path):
    options = JudgeOptions(
        cases=1,
        frames=4,
        batch=0,
        seed=-1,
        steps=0,
        weights="none",
        tasks=("generate", "ext"),
        out="/proc/none/a.json",
        save=str(tmp_path / "worst"),
    )
    with pytest.raises(ValueError) as caught:
        check_options(options)
    told = str(caught.value)
    for flag in ("cases must", "batch", "seed", "steps", "tasks must be", "save"):
        assert f"--{flag}" in told
    assert "'ext'" in told and "--frames" in told and "--out '/proc/none" in told
    refused = {
        "--kind must be among one, two.*'three'": {"kind": "three"},
        "--size must be WIDTHxHEIGHT.*'banana'": {"size": "banana"},
        "--size must be .*64, 0": {"size": "0x64"},
        "--kind turn .*--tasks storyboard": {"kind": "turn"},
        "--tasks must be .*'extend-for'": {"tasks": ("extend-for",)},
        "--frames is of the task generate": {"tasks": ("extend",), "frames": 9},
        "--out must end in .json, got 'a'": {"out": "a"},
    }
    for message, fields in refused.items():
        with pytest.raises(ValueError, match=message):
            check_options(JudgeOptions(**fields))


def test_a_size_that_the_vae_cannot_divide_is_refused(monkeypatch):
    monkeypatch.setattr(runtime, "enable_compilation_cache", lambda: None)
    with pytest.raises(ValueError, match="--size must be multiples of 8, got '60x60'"):
        main(["--size", "60x60", "--cases", "2", "--controls-only"])


def test_the_command_prints_a_table_and_writes_every_finding(tmp_path, capsys):
    out = tmp_path / "judged.json"
    arguments = ["--weights", "none", "--cases", "2", "--out", str(out)]
    main([*arguments, "--frames", "9"])
    assert "| background" in capsys.readouterr().out
    written = out.read_text()
    content = json.loads(written)
    assert len(content["cases"]) == 2 and content["options"]["frames"] == 9
    main([*arguments, "--tasks", "loop", "upscale"])
    text = capsys.readouterr().out
    assert "| loop-any: seam" in text and "nan" not in text
    assert out.read_text() == written
    content = json.loads((tmp_path / "judged-1.json").read_text())
    assert len(content["cases"]) == 8
    assert content["measures"]["upscale"]["PSNR, dB"]["truth"]["cases"] == 2


class Chosen:
    """A source that is no playground, but whose clips have its truth."""

    def __init__(self, *indices: int):
        self.source, self.indices = JudgeOptions(frames=9).prompts().source(0), indices

    def __len__(self):
        return len(self.indices)

    def spec(self, index):
        return self.source.spec(self.indices[index])

    def read(self, index, start=0, frames=None, size=None):
        return self.source.read(self.indices[index], start, frames, size)


def test_clips_of_any_source_with_truth_are_judged():
    source = Chosen(5, 3)
    asked = {"mine": prompts.suite(lambda seed: prompts.prompt_cases(source, range(2)))}
    found = harness.run(asked, None, JudgeOptions(cases=2))
    told = [source.spec(index).captions[0].texts[0] for index in range(2)]
    assert [outcome.prompt for outcome in found.outcomes] == told
    (right,) = results.tally(found)["mine", prompts.EVERYTHING]["truth"][:1]
    assert right.is_right
