"""Every program under one name."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import sora_jax
from sora_jax.commands import doctor, program, train
from sora_jax.config import DiTRun, EncodeRun, VAERun
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.training import loop, vae, warm_start
from sora_jax.training.latents import open_latents
from sora_jax.weights import export, publish, workdirs
from sora_jax.worlds.playground.judge import command as evaluation


@pytest.mark.parametrize("name", program.PROGRAMS)
def test_a_program_has_a_main_that_takes_arguments(name, capsys):
    module = importlib.import_module(program.PROGRAMS[name].module)
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
    assert list(doctor.report_lines())


def test_the_doctor_checks_a_folder_of_weights(
    monkeypatch, capsys, folder, exported, copy
):
    for weights, layout in ((folder, ""), (exported, "layout: diffusers")):
        sora(monkeypatch, "doctor", "--weights", str(weights))
        told = capsys.readouterr().out
        assert layout in told and "100 texts come back" in told
        assert "dit: " in told and "all finite" in told
        assert "one step: 5 frames, finite" in told
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = max(tensors, key=lambda n: tensors[n].size)
    tensors[name] = np.full_like(tensors[name], np.nan)
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(SystemExit, match="NaN or infinity"):
        sora(monkeypatch, "doctor", "--weights", str(copy))


def test_the_name_of_a_repository_is_answered_by_its_download(monkeypatch):
    with pytest.raises(
        SystemExit,
        match="hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers --local-dir Wan2",
    ):
        sora(monkeypatch, "doctor", "--weights", "Wan-AI/Wan2.1-T2V-1.3B")
    with pytest.raises(SystemExit, match="is no folder: check the name$"):
        sora(monkeypatch, "doctor", "--weights", "weights")


def test_the_package_is_a_program_too():
    ran = subprocess.run(
        [sys.executable, "-m", "sora_jax", "--version"], capture_output=True, text=True
    )
    assert ran.stdout.startswith("sora_jax ")


ENTRIES = (
    ("folder", lambda at: sora_jax.load(at)),
    ("path", lambda at: sora_jax.write(at, [], fps=8.0)),
    ("--workdir", lambda at: loop.train(VAERun(), at, lambda mesh: None)),
    ("--workdir", lambda at: train.train(EncodeRun(), at)),
    ("latents: folder", lambda at: open_latents(DiTRun(latents=at))),
    ("more_latents: folder", lambda at: open_latents(DiTRun(more_latents=(at,)))),
    ("start_from", lambda at: vae.load_start(VAERun(start_from=at))),
    ("start_from", lambda at: warm_start.check_start(DiTRun(start_from=at))),
    ("vae", lambda at: workdirs.load_vae(at)),
    ("tokenizer", lambda at: Tokenizer.load(at)),
    ("--weights", lambda at: export.main(["--out", "unused", "--weights", at])),
    ("--out", lambda at: export.main(["--out", at])),
    ("--run", lambda at: publish.main(["--run", at, "--out", "unused"])),
    ("--out", lambda at: publish.main(["--run", "unused", "--out", at])),
    ("--save", lambda at: evaluation.main(["--save", at])),
)


@pytest.mark.parametrize("number", range(len(ENTRIES)))
@pytest.mark.parametrize(
    "address, why",
    [
        ("gs://x/y", "needs the package gcsfs: pip install gcsfs"),
        ("s3://x/y", "needs the package s3fs: pip install s3fs"),
        ("https://x.y/z", "is an unsupported URL"),
    ],
)
def test_what_is_not_on_this_disk_is_named(monkeypatch, tmp_path, number, address, why):
    monkeypatch.chdir(tmp_path)
    for package in ("gcsfs", "s3fs"):
        monkeypatch.setitem(sys.modules, package, None)
    field, enter = ENTRIES[number]
    with pytest.raises(ValueError, match=f"(?m)^{field} '{address}[^']*' {why}"):
        enter(address)
    assert not list(tmp_path.iterdir())
