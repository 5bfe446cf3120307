"""Builds that are killed, meet, or run out of room go on, and lose nothing."""

import subprocess
import sys

import pytest

from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import Part
from tests.helpers.datasets import build, contents, stores
from tests.helpers.paths import ROOT
from tests.helpers.recipes import LetterRecipe, Letters

KILLED = """
import sys
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import parts_of
from tests.helpers.recipes import LetterRecipe, Letters
recipe = LetterRecipe(killed_at="t4")
for part in parts_of(recipe, 3):
    print(part.number, build_part(Letters, recipe, part, sys.argv[1]), flush=True)
"""


@pytest.mark.slow
def test_a_killed_build_goes_on(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (died.returncode, died.stdout) == (9, "0 []\n")
    parts = tmp_path / "letters"
    assert list((parts / "part-00001-of-00003").glob("incomplete.*"))
    first = next(parts.glob("part-00000-of-00003/*/*.array_record*"))
    before = first.stat().st_mtime_ns
    assert build(Letters, LetterRecipe(), tmp_path, 3) == []
    assert first.stat().st_mtime_ns == before
    assert len(contents(stores(parts)["train"])) == 6
    assert not list(tmp_path.rglob("incomplete.*"))
    assert not list(tmp_path.rglob("lock.json"))


def test_a_build_killed_before_its_last_file_knows_what_was_left_out(tmp_path):
    recipe = LetterRecipe(damaged=("t1",))
    left_out = build(Letters, recipe, tmp_path)
    before = contents(stores(tmp_path / "letters")["train"])
    (folder,) = (tmp_path / "letters").glob("*/1.0.0")
    (folder / "left_out.jsonl").unlink()
    (folder / "clips-train.jsonl").unlink()
    assert build(Letters, recipe, tmp_path) == left_out
    assert contents(stores(tmp_path / "letters")["train"]) == before


@pytest.mark.parametrize("parts", [(1, 2), (0,)])
@pytest.mark.slow
def test_a_killed_build_goes_on_with_the_same_clips_only(tmp_path, parts):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for changed in (LetterRecipe(train=7), LetterRecipe(said="a")):
        for number in parts:
            with pytest.raises(
                ValueError, match="begun with other clips.* another --data_dir, or del"
            ):
                build_part(Letters, changed, Part(number, 3), tmp_path)
    assert build(Letters, LetterRecipe(), tmp_path, 3) == []


def test_a_full_disk_keeps_complete_parts(tmp_path):
    full = LetterRecipe(full_at="t1")
    build_part(Letters, full, Part(0, 2), tmp_path)
    with pytest.raises(OSError, match="No space left .* start the same command again"):
        build_part(Letters, full, Part(1, 2), tmp_path)
    assert not list(tmp_path.rglob("incomplete.*"))
    build_part(Letters, LetterRecipe(), Part(1, 2), tmp_path)
    assert len(contents(stores(tmp_path / "letters")["train"])) == 6


def test_two_builds_of_a_part_do_not_meet(tmp_path):
    from sora_jax import locking

    held = tmp_path / "letters" / "part-00000-of-00001"
    told = "^--data_dir .* is in use by process .* or give another --data_dir$"
    with locking.only_run(held), pytest.raises(ValueError, match=told):
        build(Letters, LetterRecipe(), tmp_path)
