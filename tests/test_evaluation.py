"""The judge's command: cases, controls, shares and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from sora_jax import runtime
from sora_jax.evals import playground_options, results, statistics, trial
from sora_jax.evals.playground import main


def test_wilson_is_what_the_book_says():
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 29 of 29.
    for counts, expected in (
        ((81, 263), (0.2553, 0.3662)),
        ((15, 148), (0.0624, 0.1605)),
        ((0, 20), (0.0, 0.1611)),
        ((29, 29), (0.8830, 1.0)),
    ):
        np.testing.assert_allclose(statistics.wilson(*counts), expected, atol=5e-5)
    with pytest.raises(ValueError, match="right must be from 0 to cases=3, got 4"):
        statistics.wilson(4, 3)


def test_means_of_few_values_are_less_sure():
    # Student's factors for 1 and for 15 degrees of freedom are 12.706 and 2.131.
    middle, half = statistics.mean_interval([0.0, 1.0])
    np.testing.assert_allclose((middle, half), (0.5, 12.706 * 0.5), atol=1e-3)
    _, half = statistics.mean_interval([0.0, 1.0] * 8)
    np.testing.assert_allclose(half, 2.131 * np.sqrt(4 / 15 / 16), atol=1e-3)


class Blurring:
    """A model that makes the true video of each prompt, and a VAE that blurs."""

    def __init__(self, options: playground_options.Options):
        source = playground_options.source(options)
        samples = [source[index] for index in playground_options.clips_of(options)]
        self.videos = {item.clip.caption: item.clip.pixels for item in samples}

    def generate(self, prompts, *, frames, size, fps, seed):
        return np.stack([self.videos[prompt] for prompt in prompts])

    def reconstruct(self, pixels):
        return ndimage.gaussian_filter(pixels, (0.0, 0.0, 0.7, 0.7, 0.0))


def test_the_whole_evaluation(tmp_path):
    options = playground_options.Options(
        cases=5, frames=9, batch=4, save=str(tmp_path / "worst"), worst=2
    )
    playground_options.check(options)
    outcome = trial.evaluate(options, Blurring(options))
    trial.save_worst(outcome, options)
    cases = outcome.cases
    counts = results.tally(cases)
    for column in ("model", "truth"):
        assert counts[results.EVERYTHING][column] == (5, 5)
    assert counts[results.EVERYTHING]["shuffled"][0] <= 1
    text = results.table(cases)
    assert "truth through VAE" in text and "VAE PSNR" in text
    assert json.loads(json.dumps(results.report(cases)))["facts"]["colour"]
    assert len(list((tmp_path / "worst").glob("*.mp4"))) == 2
    for case in cases:
        assert case.psnr["objects"] < case.psnr["frame"]


def test_prompts_that_state_a_fact_are_judged(tmp_path):
    options = playground_options.Options(
        fact="gravity", cases=3, frames=9, batch=2, save=str(tmp_path), worst=1
    )
    playground_options.check(options)
    outcome = trial.evaluate(options, Blurring(options))
    cases = outcome.cases
    assert [case.index for case in cases] != list(range(3))
    assert results.tally(cases)["gravity"]["truth"][1] >= 3
    assert results.tally(cases)[results.EVERYTHING]["model"] == (3, 3)
    # Videos go by the numbers that clips have in the split.
    trial.save_worst(outcome, options)
    (sidecar,) = tmp_path.glob("*.json")
    (index,) = (case.index for case in cases if f"{case.index:05d}" in sidecar.name)
    prompt = playground_options.source(options)[index].clip.caption
    assert json.loads(sidecar.read_text())["prompt"] == prompt


@pytest.mark.parametrize(
    ("fact", "kind", "frames", "told"),
    [
        ("relation", "one", 17, "relation .* of --kind one with"),
        ("gravity", "", 1, "gravity .* first 1000 with --frames 1"),
        ("count", "", 17, "must be one of background, .* got 'count'"),
    ],
)
def test_a_fact_that_no_prompt_states_is_refused(fact, kind, frames, told):
    with pytest.raises(ValueError, match="--fact " + told):
        playground_options.check(
            playground_options.Options(fact=fact, kind=kind, frames=frames)
        )


def test_bad_options_are_all_named(tmp_path):
    options = playground_options.Options(
        cases=1,
        frames=4,
        size="0x64",
        batch=0,
        seed=-1,
        weights="none",
        out="/proc/none/a.json",
        save=str(tmp_path / "worst"),
    )
    flags = ("cases", "batch", "save", "seed", "frames", "size", "out '/proc/none")
    with pytest.raises(ValueError, match="(?s)" + ".*".join(f"--{f}" for f in flags)):
        playground_options.check(options)
    with pytest.raises(ValueError, match="--kind must be among one, two.*'three'"):
        playground_options.check(playground_options.Options(kind="three"))
    with pytest.raises(ValueError, match="--size must be WIDTHxHEIGHT.*'banana'"):
        playground_options.check(playground_options.Options(size="banana"))


def test_a_size_that_the_vae_cannot_divide_is_refused(monkeypatch):
    monkeypatch.setattr(runtime, "enable_compilation_cache", lambda: None)
    with pytest.raises(ValueError, match="--size must be multiples of 8, got '60x60'"):
        main(["--size", "60x60", "--cases", "2", "--controls-only"])


def test_the_command_prints_a_table_and_writes_every_verdict(tmp_path, capsys):
    out = tmp_path / "judged.json"
    main(["--weights", "none", "--cases", "2", "--frames", "9", "--out", str(out)])
    assert "| background" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert len(content["cases"]) == 2 and content["options"]["frames"] == 9
