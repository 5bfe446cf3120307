"""What is fuzzed: everything that reads what others wrote."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from hypothesis import strategies as st
from PIL import Image

from sora_jax import cli, manifest
from sora_jax.config import DiTRun, EncodeRun, TextConfig, to_json
from sora_jax.data import footage, mask_files, outputs, pictures, records, storyboard
from sora_jax.limits import LIMITS
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.sampling import checks, flags, job, spellings
from sora_jax.sampling.media import read_noise
from sora_jax.weights import bundle, folders, safetensors_io, workdirs
from sora_jax.weights.export import export
from sora_jax.workdir import write_json
from tests.fuzz.inputs import ODD, headers, json_of, mutated
from tests.helpers import tiny_wan
from tests.helpers.paths import FAULTS


class Target(NamedTuple):
    """Something that reads inputs of others.

    Attributes:
      inputs: how they are drawn.
      read: reads one.
    """

    inputs: st.SearchStrategy
    read: Callable[[Any], None]


def make(folder: Path) -> dict[str, Target]:
    """All targets, their files in a folder."""
    return {
        "flags": Target(command_lines(), lambda argv: run_flags(argv, folder)),
        "storyboard": Target(
            json_of(BOARD) | mutated(YAML), lambda x: read_storyboard(folder, x)
        ),
        "npy": Target(arrays(), lambda x: read_array(folder, x)),
        "media": Target(media(folder), lambda x: read_media(folder, *x)),
        **of_weights(folder),
        **of_runs(folder),
    }


# --- the command line, storyboards -------------------------------------------------
BOARD = {
    "seconds": 2,
    "shots": [{"at": 0, "prompt": "a"}, {"at": 1, "prompt": "b", "cut": True}],
}
YAML = (
    b"seconds: 2\nshots:\n  - {at: 0, prompt: a}\n  - at: 1\n    prompt: >\n      b\n"
)


@st.composite
def command_lines(draw: Callable) -> list[str]:
    """Flags, right and wrong, with values of every kind."""
    names = [field.name for field in dataclasses.fields(flags.SampleFlags)]
    names = [*names, *spellings.FLAGS, "height", "width", "nonsense"]
    good = ["a ball", "9", "2", "64x64", "0.5", "upright.mp4", "extend", "unipc"]
    argv = []
    for _ in range(draw(st.integers(0, 5))):
        name = draw(st.sampled_from(names))
        if name in ("mesh", "out"):
            continue
        value = draw(st.sampled_from([*good, *ODD]) | st.text(max_size=5))
        argv += draw(st.sampled_from([[f"--{name}", value], [f"--{name}={value}"]]))
    return argv


def run_flags(argv: list[str], folder: Path) -> None:
    """Everything up to the first weight."""
    upright = folder / "upright.mp4"
    if not upright.exists():
        shutil.copy(FAULTS / "upright.mp4", upright)
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        arguments = spellings.parse(argv)
        checks.check_flags(arguments).checked()
        job.prepare(dataclasses.replace(arguments, out=f"{folder}/videos/"))


def read_storyboard(folder: Path, content: bytes) -> None:
    """Under both of its names."""
    for name in ("a.json", "a.yaml"):
        (folder / name).write_bytes(content)
        refusing(storyboard.read_storyboard, folder / name)


# --- arrays, videos, pictures -------------------------------------------------------
def arrays() -> st.SearchStrategy:
    """Damaged array files."""
    file = io.BytesIO()
    np.save(file, np.zeros((3, 4, 4, 3), np.float32))
    return mutated(file.getvalue())


def read_array(folder: Path, content: bytes) -> None:
    """As a clip and as noise."""
    path = folder / "a.npy"
    path.write_bytes(content)
    refusing(footage.read_footage, path, fps=8, size=(8, 8))
    read_noise(os.fspath(path), "--init-noise", LIMITS)


def media(folder: Path) -> st.SearchStrategy:
    """Damaged videos and pictures, each under the name of another too."""
    frames = np.random.default_rng(0).integers(0, 255, (4, 24, 32, 3)).astype(np.uint8)
    made = [outputs.write(folder / f"m{s}", [frames], 8) for s in (".gif", ".mp4")]
    for kind in ("png", "jpg", "tif", "webp", "bmp", "jp2", "avif"):
        Image.fromarray(frames[0]).save(folder / f"p.{kind}")
        made.append(folder / f"p.{kind}")
    sources = [Path(os.fspath(path)) for path in made] + sorted(FAULTS.iterdir())
    contents = {path.suffix: path.read_bytes() for path in sources}
    names = st.sampled_from(sorted(contents))
    return st.tuples(st.sampled_from(sorted(contents.values())).flatmap(mutated), names)


def read_media(folder: Path, content: bytes, suffix: str) -> None:
    """As a clip, a picture and a mask."""
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    refusing(pictures.read_image, path)
    clip = refusing(footage.read_footage, path, fps=8, size=(8, 8))
    if clip is not None:
        refusing(mask_files.read_mask, path, clip, fps=8, size=(8, 8))


def refusing(read: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Read, or None where it is refused."""
    try:
        return read(*args, **options)
    except ValueError as error:
        if not cli.raised_by_package(error):
            raise
        return None


# --- weights ------------------------------------------------------------------------
def of_weights(folder: Path) -> dict[str, Target]:
    """Configs, indices and headers of folders of weights, ours and Wan's."""
    tiny = tiny_wan.two_experts(TextConfig(width=24, depth=1, heads=2, head_dim=12))
    theirs = folder / "wan"
    export(os.fspath(theirs), tiny)
    original = tiny_wan.lay_out(tiny, theirs, folder / "original")
    ours = folder / "ours"
    shutil.copytree(os.fspath(bundle.ASSETS), ours)
    small = folder / "small.safetensors"
    safetensors_io.save_tensors(small, {"a": {"b": np.ones((2, 3), np.float32)}})
    abstract = {"a": {"b": jax.ShapeDtypeStruct((2, 3), np.float32)}}

    def restoring(path: Path, read: Callable[[], Any]) -> Callable[[bytes], None]:
        whole = path.read_bytes()

        def attempt(content: bytes) -> None:
            path.write_bytes(content)
            try:
                read()
            finally:
                path.write_bytes(whole)

        return attempt

    files = [
        *((theirs, path) for path in sorted(theirs.rglob("*.json"))),
        *((original, path) for path in sorted(original.rglob("*.json"))),
        (ours, ours / "config.json"),
    ]
    choices = st.sampled_from(range(len(files))).flatmap(
        lambda i: st.tuples(st.just(i), json_of(json.loads(files[i][1].read_text())))
    )

    def read_config(choice: tuple[int, bytes]) -> None:
        where, path = files[choice[0]]
        restoring(path, lambda: folders.describe(where))(choice[1])

    header = theirs / "transformer"
    (shard,) = sorted(header.glob("*.safetensors"))[:1]
    spiece = theirs / "tokenizer" / "spiece.model"
    return {
        "configs": Target(choices, read_config),
        "headers": Target(
            headers(shard.read_bytes()),
            restoring(shard, lambda: folders.describe(theirs)),
        ),
        "tensors": Target(
            headers(small.read_bytes()),
            restoring(small, lambda: safetensors_io.load_tensors(small, abstract)),
        ),
        "tokenizer": Target(
            mutated(spiece.read_bytes()),
            restoring(spiece, lambda: Tokenizer.load(spiece).encode("a ball", 8)),
        ),
    }


# --- what runs leave behind ---------------------------------------------------------
def of_runs(folder: Path) -> dict[str, Target]:
    """Manifests, configs of runs, indices of encoded clips."""
    step = epath_of(folder / "step")
    (step / "data").mkdir(parents=True)
    (step / "data" / "array").write_bytes(b"content")
    manifest.write(step, {"config": {"kind": "DiTRun"}})
    run = folder / "run"
    write_json(epath_of(run / "config.json"), to_json(DiTRun()))
    shards = folder / "shards"
    record = records.Record(
        latents=np.zeros((1, 4, 4, 8), np.float32),
        extra=np.zeros((1, 4, 4, 12), np.float32),
        captions=("a ball",),
        stretches=((0, ("a ball",)),),
    )
    records.write_shard(shards, 0, [record] * 2)

    def read_manifest(content: bytes) -> None:
        (step / "manifest.json").write_bytes(content)
        if not manifest.damage(step):
            manifest.metadata(step)

    def read_run(content: bytes) -> None:
        (run / "config.json").write_bytes(content)
        workdirs.run_of(run, "start_from")
        workdirs.encode_run_of(run)

    def read_index(content: bytes) -> None:
        (shards / "00000.json").write_bytes(content)
        found = records.Records(shards)
        for number in range(len(found)):
            found[number]

    def read_shard(content: bytes) -> None:
        (shards / "00000.json").write_bytes(index)
        (shards / "00000.arrayrecord").write_bytes(content)
        found = records.Records(shards)
        for number in range(len(found)):
            found[number]

    index = (shards / "00000.json").read_bytes()
    shard = (shards / "00000.arrayrecord").read_bytes()
    known = json.loads((step / "manifest.json").read_text())
    return {
        "manifest": Target(json_of(known), read_manifest),
        "run": Target(
            json_of(to_json(DiTRun())) | json_of(to_json(EncodeRun())), read_run
        ),
        "index": Target(json_of(json.loads(index)), read_index),
        "shard": Target(mutated(shard), read_shard),
    }


def epath_of(path: Path) -> Any:
    """A path as the package has them."""
    return epath.Path(path)
