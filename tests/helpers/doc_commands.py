"""The commands of the documentation, checked as far as they would be before work."""

import re
import tomllib

import tyro

from sora_jax import cli
from sora_jax.commands import caption, curate, data_build, data_show, doctor
from sora_jax.config import Series
from sora_jax.evals.compositions import command as compositions
from sora_jax.plan import command as plan
from sora_jax.sampling import calibration, checks, job, spellings
from sora_jax.weights import export, publish
from sora_jax.worlds.playground.judge import command as evaluation
from tests.helpers import pages
from tests.helpers.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Programs that are not ours, or change nothing but the shell.
OTHERS = {"cd", "export", "gcloud", "git", "hf", "pre-commit", "python3.12", "source"}
OTHERS |= {"sphinx-build"}

# Flags of the programs of `sora-jax data`, and what checks them.
DATA = {
    "build": (data_build.BuildOptions, data_build.check_options),
    "show": (data_show.ShowOptions, lambda options: options),
    "curate": (curate.CurateOptions, curate.check_options),
    "caption": (caption.CaptionOptions, caption.check_options),
}


def sample(argv, needs):
    arguments = spellings.parse(argv)
    if not needs:
        asked = checks.check_flags(arguments)
        asked.checked()
        assert job.prepare(asked).outs


def train(argv, needs):
    del needs
    config, _ = cli.parse_run(argv)
    for location, *_ in config.stages if isinstance(config, Series) else ():
        cli.load_config(location)


def module(name, argv):
    if name == "sora_jax.plan":
        config, options = cli.parse_beside_config(argv, plan.PlanOptions)
        assert re.fullmatch(r"\w+:\d+(x\d+)+", options.topology), options
        assert isinstance(config, plan.DiTRun | plan.ModelConfig)
    elif name == "tests.fuzz":
        script(ROOT / "tests" / "fuzz" / "__main__.py", argv)
    else:
        options = {
            "sora_jax.sampling.calibration": calibration.CalibrationOptions,
            "sora_jax.weights.publish": publish.PublishOptions,
            "sora_jax.weights.export": export.ExportOptions,
        }
        tyro.cli(options[name], args=argv)


def script(path, argv):
    flags = [word.partition("=")[0] for word in argv if word.startswith("--")]
    assert {flag[2:].replace("-", "_") for flag in flags} <= pages.names_in(path)


def evaluate(argv):
    if argv[0] == "compositions":
        asked = tyro.cli(compositions.CompositionOptions, args=argv[1:])
        compositions.check_options(asked)
    else:
        evaluation.check_options(tyro.cli(evaluation.JudgeOptions, args=argv))


def check(command, needs):
    """Check a command as far as it would be before its work begins."""
    program, *argv = command
    if program == "python":
        first, *rest = argv
        if first == "sample.py":
            sample(rest, needs)
        elif first == "train.py":
            train(rest, needs)
        elif first == "-m" and rest[0] != "venv":
            module(rest[0], rest[1:])
        elif first != "-m":
            script(ROOT / first, rest)
    elif program == "sora-jax" and argv[0] == "data":
        kind, check_data = DATA[argv[1]]
        check_data(tyro.cli(kind, args=argv[2:]))
    elif program == "sora-jax" and argv[0] == "eval":
        evaluate(argv[1:])
    elif program == "sora-jax" and argv[0] == "doctor":
        tyro.cli(doctor.DoctorOptions, args=argv[1:])
    elif program == "pip":
        extras = re.findall(r"\[([\w,]+)\]", " ".join(argv))
        known = PROJECT["project"]["optional-dependencies"]
        assert set(",".join(extras).split(",")) <= {*known, ""}
    elif program == "pytest":
        paths = [word for word in argv if "/" in word]
        assert all((ROOT / path).exists() for path in paths)
    else:
        assert program in OTHERS, f"nothing here checks {program!r}: mark its block"
