"""The sources of a run: what is held out, and what tells that clips changed."""

import dataclasses

import pytest

from sora_jax.commands.sources import open_joined, open_sources
from sora_jax.config import ClipsConfig, PlaygroundConfig
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import Part
from sora_jax.datasets.video_folder import VideoFolder, folder_recipe
from tests.helpers import clip_files


@pytest.mark.parametrize(
    ("split", "held_out"),
    [("train", "train[:50%]"), ("all", "train"), ("train", "all")],
)
def test_clips_that_are_trained_on_are_not_held_out(tmp_path, split, held_out):
    folder = clip_files.write_kinds(tmp_path / "clips")
    build_part(VideoFolder, folder_recipe(folder), Part(0, 1), tmp_path)
    config = ClipsConfig(path=str(tmp_path / "video_folder"), held_out=held_out)
    with pytest.raises(ValueError, match=r"clips in common, such as .*'train\[5%:\]'"):
        open_sources(dataclasses.replace(config, split=split), 9)
    open_sources(
        dataclasses.replace(config, split="train[50%:]", held_out="train[:50%]"), 9
    )
    first, more = (
        dataclasses.replace(config, split="train[50%:]", held_out="train[:50%]"),
        dataclasses.replace(config, split="train", held_out="train[:1%]"),
    )
    with pytest.raises(ValueError, match=r"more_data\[0\].split 'train' and data.held"):
        open_joined(first, [more], 9)
    if "[" not in held_out:
        with pytest.raises(ValueError, match="clips in common"):
            config = dataclasses.replace(config, path=str(folder), split=split)
            open_sources(config, 99)


def test_the_digest_of_stored_clips_is_that_of_their_content(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(clip_files.mp4())
    config = ClipsConfig(path=str(tmp_path))
    before = open_sources(config, 1).digest
    assert before and open_sources(config, 1).digest == before
    content = bytearray(clip_files.mp4())
    at = content.index(b"mdat") + len(b"mdat") + 2000
    content[at : at + 1] = bytes([content[at] ^ 1])
    (tmp_path / "a.mp4").write_bytes(content)
    assert open_sources(config, 1).digest != before


def test_the_held_out_clips_of_a_run_are_others_than_it_learns_from():
    sources = open_sources(PlaygroundConfig(length=5), 3)
    assert (len(sources.train), len(sources.held_out)) == (5, 3)
    texts = [
        each.spec(0).captions[0].texts for each in (sources.train, sources.held_out)
    ]
    assert texts[0] != texts[1]
    assert sources.subjects is not None
    spec = sources.held_out.spec(0)
    assert sources.subjects(spec).shape == spec.shape
