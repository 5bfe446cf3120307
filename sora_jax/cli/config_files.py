"""Config files: Python with a `get_config`, whose fields are overridden by flags."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from sora_jax.cli.arguments import join_pair, refuse_control
from sora_jax.cli.console import CONFIG_MODULE

T = TypeVar("T")
FLAGS = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)


def load_config(location: str) -> Any:
    """Run `get_config` of a config file, given as `PATH` or `PATH:argument`.

    Raises:
      ValueError: the file does not exist, lacks `get_config`, or takes no argument.
    """
    path, colon, argument = location.partition(":")
    if not Path(path).is_file():
        known = ", ".join(str(p) for p in sorted(Path("configs").glob("*.py")))
        there = f"there are: {known}"
        if not known:
            there = (
                "the repository has configs, the installed package none: run this in a "
                "clone, or give a config of your own"
            )
        raise ValueError(f"--config {path!r} is no file; {there}")
    spec = importlib.util.spec_from_file_location(CONFIG_MODULE, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--config {path!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(f"--config {path!r} defines no get_config()")
    if colon and not inspect.signature(module.get_config).parameters:
        raise ValueError(f"--config {path!r} takes no argument, got {argument!r}")
    return module.get_config(*([argument] if argument else []))


def parse_run(argv: Sequence[str]) -> tuple[Any, str]:
    """Parse `--config=PATH --workdir=DIR --config.field=value ...`.

    Returns:
      The config with its overrides, and the workdir.

    Raises:
      ValueError: --config is missing, is given twice, or cannot be read.
      SystemExit: tyro has printed what is wrong with a field, or the help.
    """
    refuse_control(argv)
    config, rest = _take_config(argv)
    kind = dataclasses.make_dataclass(
        "Arguments", [("config", type(config)), ("workdir", str)], frozen=True
    )
    default = kind(config=config, workdir=tyro.MISSING)
    parsed = tyro.cli(kind, default=default, args=rest, config=FLAGS)
    return parsed.config, parsed.workdir


def parse_beside_config(argv: Sequence[str], options: type[T]) -> tuple[Any, T]:
    """Parse a config and its overrides beside the flags of a dataclass.

    Raises:
      ValueError: --config is missing, is given twice, or cannot be read.
      SystemExit: tyro has printed what is wrong with a flag, or the help.
    """
    refuse_control(argv)
    if {"--help", "-h"} & set(argv):
        tyro.cli(options, args=["--help"])
    config, rest = _take_config(argv)
    kind = dataclasses.make_dataclass("Arguments", [("config", type(config))])
    parsed, others = tyro.cli(
        kind,
        default=kind(config=config),
        args=rest,
        config=FLAGS,
        return_unknown_args=True,
    )
    return parsed.config, tyro.cli(options, args=others)


def _take_config(argv: Sequence[str]) -> tuple[Any, list[str]]:
    """Load the file of --config; return the config and the other arguments."""
    argv = join_pair(argv, "--config")
    paths = [a.split("=", 1)[1] for a in argv if a.startswith("--config=")]
    rest = [a for a in argv if not a.startswith("--config=")]
    if not paths:
        if "--help" in rest or "-h" in rest:
            print(
                "usage: train.py --config=configs/FILE.py[:ARG] --workdir=DIR "
                "[--config.FIELD=VALUE ...]\n\nWith a config, --help lists its fields."
            )
            raise SystemExit(0)
        raise ValueError(
            "--config is missing: give a config file, such as "
            "--config=configs/dit_debug.py"
        )
    if len(paths) > 1:
        raise ValueError(f"--config is given {len(paths)} times, {paths}: leave one")
    return load_config(paths[0]), rest
