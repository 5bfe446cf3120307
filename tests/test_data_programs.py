"""The programs `sora-jax data build` and `data show`."""

import functools

import pytest
from PIL import Image

from sora_jax import cli
from sora_jax.commands import data, data_build
from sora_jax.datasets.fluent_emoji import packages
from tests.helpers import clip_files, tiny_emoji


def run(*argv):
    data.main([str(word) for word in argv])


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = clip_files.write_kinds(tmp_path_factory.mktemp("clips"))
    (folder / "bad.mp4").write_bytes(b"no video")
    return folder


def test_a_folder_is_built_and_shown(clips, tmp_path, capsys):
    command = ("build", "video_folder", "--data_dir", tmp_path, "--from", clips)
    run(*command, "--parts", 2)
    said = capsys.readouterr().out
    assert "2 of 2 parts\nclips left out: 1\n  bad.mp4: 'bad.mp4' cannot" in said
    assert "in train, " in said and said.endswith(f"{tmp_path}/video_folder\n")
    run(*command)  # takes the parts that are there
    assert capsys.readouterr().out == said
    sheet = tmp_path / "sheet.png"
    run("show", "video_folder", "--data_dir", tmp_path, "--out", sheet)
    said = capsys.readouterr().out
    for line in ("train:", "validation:", "with alpha", "sizes: 64x48 (", "median"):
        assert line in said
    with Image.open(sheet) as image:
        assert image.width == 6 * 128 and image.height > 1000


def test_a_plain_folder_is_shown(clips, capsys):
    run("show", clips, "--split", "train")
    said = capsys.readouterr().out
    assert "train:" in said and "validation:" not in said
    assert "such as: waves" in said


def test_parts_are_built_one_by_one(tmp_path, capsys):
    command = ("build", "playground", "--data_dir", tmp_path, "--parts", 2)
    command = (*command, "--playground.length", 5, "--held_out", 1)
    run(*command, "--part", 1)
    assert "1 of 2 parts are complete" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="has 1 of 2 parts"):
        run("show", "playground", "--data_dir", tmp_path)
    run(*command, "--part", 0)
    assert "5 in train, 1 in validation" in capsys.readouterr().out


def test_the_artists_set_is_built_from_packages_that_are_there(
    tmp_path, capsys, monkeypatch
):
    integrity = tiny_emoji.write_packages(tmp_path / "packages")
    taken = {c.file for c in tiny_emoji.chosen()}
    every = [c for c in tiny_emoji.characters() if c.file in taken]
    fetch = functools.partial(packages.fetch, integrity=integrity)
    monkeypatch.setattr(packages, "fetch", fetch)
    name = "sora_jax.datasets.fluent_emoji.builder.EmojiRecipe.chosen"
    monkeypatch.setattr(name, lambda self: tuple(every))
    folder = tmp_path / "packages"
    run("build", "fluent_emoji", "--data_dir", tmp_path, "--manual_dir", folder)
    assert "12 in train, 4 in validation, 4 in test_comp" in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_build(clips, tmp_path, capsys):
    command = ("build", "video_folder", "--data_dir", tmp_path, "--from", clips)
    run(*command, "--workers", 2)
    said = capsys.readouterr().out
    assert "2 of 2 parts" in said and "clips left out: 1" in said


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["play", "--data_dir", "d"], "'play' is no dataset: there are fluent_emoji"),
        (["playgrund", "--data_dir", "d"], "did you mean playground"),
        (["video_folder", "--data_dir", "d"], "--from is missing"),
        (["playground", "--data_dir", "d", "--part", "1"], "--part must be from 0"),
        (
            ["playground", "--data_dir", "d", "--workers", "0"],
            "--workers must be >= 1, got 0",
        ),
    ],
)
def test_wrong_flags_of_a_build_are_refused(argv, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        run("build", *argv)
    assert not list(tmp_path.iterdir())


def test_nothing_to_show_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"is no folder.*give its --data_dir"):
        run("show", "playground")
    with pytest.raises(SystemExit, match="holds no video and no picture"):
        run("show", tmp_path)
    version = tmp_path / "sets" / "mine" / "1.0.0"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    with pytest.raises(SystemExit, match="holds datasets: .*sets/mine'"):
        run("show", tmp_path / "sets")


def test_a_folder_of_which_nothing_can_be_read_is_refused(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"none")
    with pytest.raises(SystemExit, match=r"no clip can be read(.|\n)*a.mp4"):
        run(
            "build",
            "video_folder",
            "--data_dir",
            tmp_path,
            "--from",
            tmp_path / "clips",
        )


def test_beam_is_asked_for_by_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    name = "apache_beam.options.pipeline_options"
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ValueError, match=r"pip install 'sora_jax\[beam\]'"):
        data_build.beam_options("--runner=DirectRunner")


def test_help_lists_the_programs(capsys):
    with pytest.raises(SystemExit, match="^0$"):
        run("--help")
    said = capsys.readouterr().out
    assert all(name in said for name in ("build", "show"))
    with pytest.raises(SystemExit):
        cli.parse(data_build.BuildOptions, ["--help"])
