"""What configs and the command line refuse, and how a config becomes plain data."""

import ast
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sora_jax import cli, config, sharding
from sora_jax.config import (
    ClipsConfig,
    CriticConfig,
    DiTConfig,
    DiTRun,
    EncodeRun,
    FlowConfig,
    OptimConfig,
    PackingConfig,
    PlaygroundConfig,
    SamplingConfig,
    Series,
    TextConfig,
    VAEConfig,
    VAERun,
    from_json,
    resolve_dtypes,
    to_json,
)
from sora_jax.nn import precision
from sora_jax.weights import bundle
from tests.helpers.paths import CONFIGS

SETTINGS = Path(config.__file__).parent


BAD = [
    (VAERun, {"window": 20}),
    (VAERun, {"window": 96}),
    (VAERun, {"keep": 1}),
    (VAERun, {"batch": 0}),
    (VAERun, {"trainable": "decoder"}),
    (EncodeRun, {"vocabulary": 10}),
    (EncodeRun, {"conditioned": 1.5}),
    (PlaygroundConfig, {"length": 0}),
    (VAERun, {"kl": -1.0}),
    (VAERun, {"seed": -1}),
    (PlaygroundConfig, {"fps": 0.0}),
    (PlaygroundConfig, {"fps": float("nan")}),
    (PlaygroundConfig, {"kinds": (("colide", 1.0),)}),
    (PlaygroundConfig, {"kinds": ()}),
    (PlaygroundConfig, {"frames": ((8, 1.0),)}),
    (PlaygroundConfig, {"frames": ((9, -1.0),)}),
    (PlaygroundConfig, {"sizes": (((64, 128), 1.0),)}),
    (DiTConfig, {"heads": 0}),
    (DiTConfig, {"patch": (2, 2, 2)}),
    (DiTConfig, {"depth": 0}),
    (VAEConfig, {"channels": 0}),
    (TextConfig, {"buckets": 2}),
    (CriticConfig, {"weight": -1.0}),
    (SamplingConfig, {"frames": 0}),
    (SamplingConfig, {"shift": float("inf")}),
    (PackingConfig, {"tokens": -1}),
    (PackingConfig, {"mid_clip": 2.0}),
    (OptimConfig, {"warmup": -5}),
    (OptimConfig, {"clip": -1.0}),
    (FlowConfig, {"shift": -1.0}),
]


@pytest.mark.parametrize(("kind", "wrong"), BAD)
def test_a_config_that_cannot_work_is_refused(kind, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must "):
        kind(**wrong)


def test_all_that_is_wrong_with_a_config_is_told_at_once():
    fields = (
        "(?s)data must be of split 'train'.*frames of data .* must have one entry.*"
        "window must be"
    )
    frames = ((1, 0.5), (9, 0.5))
    with pytest.raises(ValueError, match=fields):
        VAERun(window=-1, data=PlaygroundConfig(split="test", frames=frames))
    with pytest.raises(ValueError, match="accumulate must be at most steps"):
        VAERun(steps=2, optim=OptimConfig(accumulate=4))


def test_a_run_on_several_kinds_of_clips_comes_back_from_json():
    frames, size = ((25, 1.0),), (64, 64)
    more = (
        PlaygroundConfig(frames=frames, sizes=((size, 1.0),)),
        ClipsConfig(path="b", size=size, least_frames=25),
    )
    run = VAERun(data=more[1], more_data=more)
    assert from_json(VAERun, json.loads(json.dumps(to_json(run)))) == run


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem)
def test_every_config_of_the_repository_can_be_loaded(path):
    assert dataclasses.is_dataclass(cli.load_config(str(path)))
    doc = path.read_text().split('"""')[1]
    assert all(word in doc for word in ("Hardware:", "Expected:", "Command:"))


SERIES = ("default.py", "fluent_emoji.py", "playground.py")


@pytest.mark.parametrize("name", SERIES)
def test_the_runs_of_a_series_find_each_other(name):
    series = cli.load_config(str(CONFIGS / name))
    made = set()
    for location, folder in series.stages:
        run = series.placed(cli.load_config(str(CONFIGS.parent / location)), "/here")
        fields = ("vae", "tokenizer", "latents", "start_from")
        read = [getattr(run, name, "") for name in fields]
        read += getattr(run, "more_latents", ())
        read = {path for path in read if isinstance(path, str) and path}
        assert read <= made, (location, read)  # each reads what was made before it
        made.add(f"/here/{folder}")
    assert len(made) == len(series.stages)


@pytest.mark.parametrize("name", SERIES)
def test_rows_of_a_series_have_room_for_its_longest_clips(name):
    series = cli.load_config(str(CONFIGS / name))
    vaes, clips = {}, {}
    for location, folder in series.stages:
        run = cli.load_config(str(CONFIGS.parent / location))
        if isinstance(run, VAERun):
            vaes[f"runs/{folder}"] = run.vae
        elif isinstance(run, EncodeRun):
            vaes[f"runs/{folder}"] = vae = vaes[run.vae]
            clips[f"runs/{folder}"] = [
                1 + (max(run.data.lengths) - 1) // vae.time_factor,
                max(h * w for h, w in run.data.shapes) // vae.space_factor**2,
            ]
        else:
            for latents in (run.latents, *run.more_latents):
                frames, cells = clips[latents]
                frames = min(frames, run.packing.longest or frames)
                tokens = frames * cells // math.prod(run.dit.patch)
                assert tokens <= run.packing.tokens, (location, latents)


def test_a_series_places_every_folder_that_a_run_reads():
    run = DiTRun(latents="runs/a", more_latents=("runs/b", "/elsewhere"))
    placed = Series().placed(run, "/here")
    assert placed.latents == "/here/a"
    assert placed.more_latents == ("/here/b", "/elsewhere")


def test_a_config_gets_no_argument_that_it_does_not_take(tmp_path):
    with pytest.raises(ValueError, match="takes no argument, got 'images'"):
        cli.load_config(f"{CONFIGS / 'playground.py'}:images")
    with pytest.raises(ValueError, match="takes one of images, short.*got 'imagse'"):
        cli.load_config(f"{CONFIGS / 'playground_vae.py'}:imagse")
    with pytest.raises(ValueError, match="is no file; the"):
        cli.load_config("missing.py")
    (tmp_path / "empty.py").write_text("x = 1")
    with pytest.raises(ValueError, match="defines no get_config"):
        cli.load_config(str(tmp_path / "empty.py"))
    with pytest.raises(ValueError, match="--config is missing"):
        cli.parse_run(["--workdir=a"])
    with pytest.raises(ValueError, match="--config is given 2 times"):
        cli.parse_run(["--config=a.py", "--config", "b.py", "--workdir=a"])


def test_errors_of_ours_end_in_a_line_and_bugs_in_a_traceback():
    with (
        pytest.raises(SystemExit, match="error: fps must be"),
        cli.exit_with_message("stopped"),
    ):
        SamplingConfig(fps=-1.0)
    with pytest.raises(ValueError, match="reshape"), cli.exit_with_message("stopped"):
        np.zeros(3).reshape(2)
    with pytest.raises(SystemExit, match="stopped"), cli.exit_with_message("stopped"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "code, is_ours",
    [
        ("np.zeros(-1)", False),
        ("int('x')", False),
        ("a, b = [1]", False),
        ("try: np.zeros(-1)\nexcept ValueError: raise", False),
        ("try: np.zeros(-1)\nfinally: a = 1", False),
        ("try: np.zeros(-1)\nexcept ValueError as e: raise ValueError from e", True),
        ("try: raise ValueError\nfinally: a = 1", True),
        ("with np.errstate(): raise ValueError", True),
    ],
)
def test_what_is_written_in_c_is_a_library_too(code, is_ours):
    with pytest.raises(ValueError) as error:
        exec(code, {"__name__": "sora_jax.somewhere", "np": np})
    assert cli.raised_by_package(error.value) == is_ours


def test_old_weights_do_not_take_todays_defaults():
    described = dataclasses.asdict(DiTConfig())
    del described["theta"]
    assert from_json(DiTConfig, described) == DiTConfig()
    with pytest.raises(ValueError, match="DiTConfig lacks .'theta'."):
        from_json(DiTConfig, described, whole=True)


def test_text_of_another_width_than_the_dit_reads_is_refused():
    with pytest.raises(ValueError, match="text of width 12 .text.width., got 96"):
        DiTRun(text=TextConfig(width=12))


def test_a_folder_of_another_run_is_named():
    with pytest.raises(ValueError, match="of a VAERun, where a DiTRun is needed"):
        from_json(DiTRun, to_json(VAERun()))


def settings_of(path):
    """The fields of a module's classes."""
    for node in ast.walk(ast.parse(path.read_text())):
        for field in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(field, ast.AnnAssign):
                if "ClassVar" not in ast.unparse(field.annotation):
                    yield node.name, field


WITH_SETTINGS = [path for path in sorted(SETTINGS.glob("*.py")) if [*settings_of(path)]]


@pytest.mark.parametrize("path", WITH_SETTINGS, ids=lambda path: path.stem)
def test_every_setting_has_a_comment_of_its_own(path):
    """What `--help` says of a setting without one is the comment of another."""
    lines = path.read_text().splitlines()
    for name, field in settings_of(path):
        above = lines[field.lineno - 2].strip()
        assert above.startswith("#"), f"{name}, line {field.lineno}"


def test_float64_is_refused_where_jax_would_make_float32_of_it():
    with pytest.raises(ValueError, match="got 'float64': set JAX_ENABLE_X64=1"):
        precision.compute_dtype("float64")


def test_auto_is_the_dtype_of_the_platform_of_the_plan(monkeypatch):
    plan = sharding.MeshPlan()
    monkeypatch.setitem(vars(plan), "platform", "tpu")
    model = bundle.describe(bundle.ASSETS)
    assert {model.vae.dtype, model.dit.dtype, model.text.dtype} == {"auto"}
    resolved = resolve_dtypes(model, "tpu")
    assert {resolved.vae.dtype, resolved.dit.dtype} == {"bfloat16"}
    assert resolve_dtypes(model, "cpu").text.dtype == "float32"
    assert bundle.load_network(bundle.ASSETS, "dit", plan).config.dtype == "bfloat16"
    assert bundle.load_network(bundle.ASSETS, "dit").config.dtype == "float32"
    # A dtype that was asked for stays.
    exact = dataclasses.replace(model.vae, dtype="float32")
    assert resolve_dtypes(exact, "tpu").dtype == "float32"
