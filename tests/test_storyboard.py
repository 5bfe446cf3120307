from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from sora_jax.data import storyboard

STORY = """
seconds: 6            # length of the whole video
shots:
  - at: 0
    prompt: a red ball moves right on a green floor
  - at: 2.5
    prompt: >
      a blue square
      spins
    image: start.png
    cut: true
"""


def write(folder: Path, text: str, name: str = "story.yaml") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder / name


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ValueError) as caught:
        storyboard.read_storyboard(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"--storyboard {str(path)!r}") for line in lines)
    return [line.partition(f"{str(path)!r}")[2].removeprefix(": ") for line in lines]


def test_a_story_is_read(tmp_path):
    (tmp_path / "start.png").write_bytes(b"")
    first, second = (story := storyboard.read_storyboard(write(tmp_path, STORY))).shots
    assert story.seconds == 6 and isinstance(story.seconds, float)
    assert (first.at, first.image, first.cut) == (0, None, False)
    assert (second.at, second.cut) == (2.5, True)
    assert second.prompt == "a blue square spins"
    assert second.image == str(tmp_path / "start.png")


@pytest.mark.parametrize("name", ["a.json", "a.JSON", "a.yml", "a.txt", "a"])
def test_json_is_read_under_any_name(tmp_path, name):
    story = {"seconds": 3, "shots": [{"at": 0, "prompt": "ein grüner Würfel: ja"}]}
    text = json.dumps(story, ensure_ascii=False)
    read = storyboard.read_storyboard(write(tmp_path, "\ufeff" + text, name))
    assert read.shots[0].prompt == "ein grüner Würfel: ja"
    if name.lower().endswith("json"):  # YAML knows no tabs
        indented = json.dumps(story, indent="\t")
        again = storyboard.read_storyboard(write(tmp_path, indented, name))
        assert (again.seconds, again.shots) == (read.seconds, read.shots)


def test_pictures_elsewhere(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "stories").mkdir()
    for image in ("../a.png", str(tmp_path / "a.png")):
        shot = {"at": 0, "prompt": "a ball", "image": image}
        text = json.dumps({"seconds": 1, "shots": [shot]})
        story = storyboard.read_storyboard(write(tmp_path / "stories", text))
        assert Path(story.shots[0].image or "").samefile(tmp_path / "a.png")


def test_all_problems_are_named_with_their_places(tmp_path):
    shots = [
        {"at": 1, "prompt": "a ball"},
        {"at": 2.5, "prompt": " ", "image": "none.png"},
        {"at": 2, "prompt": "a ball"},
        {"at": 3, "promt": "a ball"},
        {"at": 3, "prompt": True},
        {"at": 3, "prompt": "a ball", "image": "."},
        {"at": 4, "prompt": "a ball"},
        {"at": float("nan"), "prompt": "a ball"},
        7,
    ]
    text = json.dumps({"seconds": 4, "shots": shots})
    found = "\n".join(problems_of(write(tmp_path, text, "a.json")))
    for line in (
        "shots[0].at must be 0, where the video begins, got 1: move it",
        "shots[1].prompt is empty: say",
        "shots[1].image 'none.png' is no file (",
        "shots[2].at must be > 2.5, where the shot before begins, got 2: put",
        "shots[3]: Object contains unknown field `promt`: a shot has the fields",
        "shots[4].prompt: Expected `str`, got `bool`: a shot has the fields",
        "shots[5].image '.' is no file",
        "shots[6].at must be < 4, the video's seconds, got 4: leave",
        "shots[7].at must be > 3, where the shot before begins, got nan",
        "shots[8]: Expected `object`, got `int`",
    ):
        assert line in found
    assert len(found.splitlines()) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: Expected `object`, got `null`: a storyboard has the fields"),
        ("seconds: 1", "the file: Object missing required field `shots`"),
        ("seconds: soon\nshots: []", "seconds: Expected `float`, got `str`"),
        ("seconds: 1\nshots: []\nfps: 3", "the file: Object contains unknown field"),
        ("seconds: 1\nshots: []", "shots is empty: say"),
        ("seconds: -1\nshots: [{at: 0, prompt: a}]", "seconds must be > 0, got -1.0"),
        ("seconds: .inf\nshots: [{at: 0, prompt: a}]", "seconds must be > 0, got inf"),
        ("seconds: 1\nshots: [{at: 0, prompt: a, cut: true}]", "shots[0].cut must be"),
        ("seconds: 1\nshots:\n- prompt: a: b", " is no storyboard (mapping values"),
        ("seconds: 1\nshots: [", " is no storyboard (expected the node content"),
        ("seconds: 1\nshots: 2020-13-45", " is no storyboard (month must be"),
        ("1: 2", "the file: Expected `str`: a storyboard has the fields"),
        ("[" * 999, " is no storyboard (it is nested too deeply"),
    ],
)
def test_what_makes_no_sense(tmp_path, text, message):
    (problem,) = problems_of(write(tmp_path, text))
    assert problem.startswith(message)


def test_a_shot_is_not_swallowed(tmp_path):
    # A dash is missing before the second `at`.
    shots = "shots:\n  - at: 0\n    prompt: a\n    at: 1\n    prompt: b"
    (problem,) = problems_of(write(tmp_path, f"seconds: 2\n{shots}"))
    assert "'at' is given 2 times in one place in line 3): correct it" in problem
    text = '{"seconds": 1, "seconds": 2, "shots": []}'
    (problem,) = problems_of(write(tmp_path, text, "a.json"))
    assert "'seconds' is given 2 times" in problem


def test_a_storyboard_on_a_disk_reaches_no_bucket(tmp_path):
    shot = {"at": 0, "prompt": "a ball", "image": "gs://bucket/a.png"}
    (problem,) = problems_of(
        write(tmp_path, json.dumps({"seconds": 1, "shots": [shot]}))
    )
    assert "is no file (it is an address" in problem


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="--story .*none.yaml' does not exist"):
        storyboard.read_storyboard(tmp_path / "none.yaml", field="--story")
    with pytest.raises(ValueError, match="is a folder"):
        storyboard.read_storyboard(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"prompt: \xff")
    with pytest.raises(ValueError, match="is not UTF-8 text .* save it as UTF-8"):
        storyboard.read_storyboard(tmp_path / "a.yaml")


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n"
    for a, b in itertools.pairwise("abcdefghijklmnopqrstuvwxyz")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds: !!int ''\nshots: []", "tags, anchors and aliases are not taken"),
        (
            "seconds: 2\nshots: [{at: 0, prompt: a, cut: !!bool maybe}]",
            "tags, anchors and aliases are not taken in line 2",
        ),
        (BOMB, "tags, anchors and aliases are not taken in line 1"),
        ("[" * 5000, "it is nested too deeply"),
        ("a: " * 2 + "\x00", "special characters are not allowed"),
        ("x" * 2**18, "larger than 65536 bytes"),
        ("seconds: " + "9" * 5000 + "\nshots: []", "is no storyboard"),
        ("seconds: 2001-13-45\nshots: []", "is no storyboard"),
        ("seconds: 1\nshots: [" + "1," * 2000 + "]", "shots must be at most 1000"),
        ("seconds: .inf\nshots: []", "seconds must be > 0, got inf"),
    ],
)
def test_strange_yaml_is_refused_in_a_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        storyboard.read_storyboard(write(tmp_path, text))
    with pytest.raises(ValueError, match="--storyboard"):
        storyboard.read_storyboard(write(tmp_path, text, "story.json"))
