"""Every program under one name."""

import importlib
import subprocess
import sys

import pytest

import sora_jax
from sora_jax.commands import doctor, program


@pytest.mark.parametrize("name", program.PROGRAMS)
def test_a_program_has_a_main_that_takes_arguments(name, capsys):
    module = importlib.import_module(program.PROGRAMS[name].module)
    if name == "doctor":
        return
    with pytest.raises((SystemExit, ValueError)):
        module.main(["--help"])
    assert "--" in capsys.readouterr().out


def sora(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["sora-jax", *arguments])
    program.main()


def test_programs_are_listed_and_one_that_is_none_is_named(monkeypatch, capsys):
    sora(monkeypatch)
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in program.PROGRAMS)
    sora(monkeypatch, "--version")
    assert capsys.readouterr().out == f"sora_jax {sora_jax.__version__}\n"
    with pytest.raises(SystemExit, match="'trian' is no program: did you mean train"):
        sora(monkeypatch, "trian")
    with pytest.raises(SystemExit, match="--size must be WIDTHxHEIGHT"):
        sora(monkeypatch, "sample", "--size", "bogus", "--prompt", "a")


def test_the_doctor_tells_what_is_here(monkeypatch, capsys):
    sora(monkeypatch, "doctor")
    told = capsys.readouterr().out
    for part in ("sora_jax 0", "jax 0", "devices: ", "host: ", "weights: whole"):
        assert part in told
    assert list(doctor.report())
    with pytest.raises(SystemExit, match="doctor takes no arguments"):
        sora(monkeypatch, "doctor", "--all")


def test_the_package_is_a_program_too():
    ran = subprocess.run(
        [sys.executable, "-m", "sora_jax", "--version"], capture_output=True, text=True
    )
    assert ran.stdout.startswith("sora_jax ")
