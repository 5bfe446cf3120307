"""The contract of a source of clips: every source goes through all of it."""

import dataclasses
import pickle

import numpy as np
import pytest

from sora_jax.commands.sources import open_sources
from sora_jax.config import ClipsConfig, PlaygroundConfig
from sora_jax.data.backgrounds import over
from sora_jax.data.sources.folder import open_folder
from sora_jax.data.sources.joined import JoinedClips
from sora_jax.data.sources.protocol import ClipSpec, captions_between
from sora_jax.data.sources.stored import StoredSpec, excerpts_of, open_stored, sized
from sora_jax.data.sources.tfds_store import TfdsStore, find_directories
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.fluent_emoji.builder import FluentEmoji
from sora_jax.datasets.parts import Part, parts_of
from sora_jax.datasets.video_folder import VideoFolder, folder_recipe
from sora_jax.types import Caption
from tests.helpers import clip_files, tiny_emoji

# Lengths and sizes of all kinds, one scene after another and one without a cut.
CLIPS = PlaygroundConfig(
    length=5,
    frames=((1, 0.2), (17, 0.8)),
    sizes=(((32, 32), 0.5), ((32, 48), 0.5)),
    kinds=(("one", 0.4), ("cut", 0.3), ("turn", 0.3)),
)


def playground(folder):
    return open_sources(CLIPS, 3).train


def open_clips(store):
    config = ClipsConfig(path="clips", frames=9, pixels=48 * 64, multiple=8)
    return open_stored(store, config)


def folder_of_clips(folder):
    return open_clips(open_folder(clip_files.write_kinds(folder / "clips"), "all"))


def dataset_in_parts(folder):
    recipe = folder_recipe(clip_files.write_kinds(folder / "clips"))
    for part in parts_of(recipe, 2):
        build_part(VideoFolder, recipe, part, folder)
    return open_clips(TfdsStore(find_directories(folder / "video_folder"), "train"))


def artists_dataset(folder):
    recipe = tiny_emoji.recipe(folder / "packages")
    build_part(FluentEmoji, recipe, Part(0, 1), folder)
    found = find_directories(folder / "fluent_emoji")
    return open_clips(TfdsStore(found, "test_composition"))


# What is shown from each frame on, at 24 frames per second.
TAKE = {0: ("a cube",), 25: ("a ball", "a sphere"), 43: ("a cone",), 92: ()}


@dataclasses.dataclass(frozen=True)
class Take:
    """A store of one long clip with captions of its stretches."""

    def __len__(self):
        return 1

    def describe(self, index):
        edges = list(TAKE)
        said = [Caption(texts=("a cube, then others",), start=0, stop=edges[-1])]
        said += [
            Caption(texts=texts, start=start, stop=stop)
            for (start, texts), stop in zip(TAKE.items(), edges[1:], strict=False)
        ]
        spec = ClipSpec(frames=edges[-1], height=16, width=16, fps=24.0)
        return StoredSpec(
            name="take", spec=dataclasses.replace(spec, captions=tuple(said))
        )

    def content(self, index):
        return np.broadcast_to(
            np.arange(92, dtype=np.uint8)[:, None, None, None], (92, 16, 16, 3)
        ).copy()


def excerpts_of_a_take(folder):
    return open_clips(Take())


def joined(folder):
    return JoinedClips((playground(folder), folder_of_clips(folder)))


SOURCES = (
    joined,
    excerpts_of_a_take,
    playground,
    folder_of_clips,
    dataset_in_parts,
    artists_dataset,
)


@pytest.fixture(scope="module", params=SOURCES, ids=lambda make: make.__name__)
def source(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def whole(source):
    """All clips, read in their order."""
    return [source.read(index) for index in range(len(source))]


def same(one, other):
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.fps, one.captions) == (other.fps, other.captions)


def test_a_spec_says_what_is_read(source, whole):
    for index, clip in enumerate(whole):
        spec = source.spec(index)
        assert isinstance(spec, ClipSpec)
        channels = 4 if spec.has_alpha else 3
        assert clip.pixels.shape == (*spec.shape, channels)
        assert clip.pixels.dtype == np.uint8
        assert (clip.fps, clip.captions) == (spec.fps, spec.captions)
        assert all(isinstance(score, float) for score in spec.scores.values())


def test_captions_speak_of_the_whole_and_then_of_its_stretches(source):
    specs = [source.spec(index) for index in range(len(source))]
    assert any(spec.captions for spec in specs)
    for spec in specs:
        assert all(caption.texts for caption in spec.captions)
        for first, *stretches in filter(None, [spec.captions]):
            assert (first.start, first.stop) == (0, spec.frames)
            edges = [0, *(caption.stop for caption in stretches)]
            assert [caption.start for caption in stretches] == edges[:-1]
            assert edges[-1] == (spec.frames if stretches else 0)


def test_a_part_is_a_part_of_the_whole(source, whole):
    for index, clip in enumerate(whole):
        count = len(clip.pixels)
        start, frames = count // 3, max(1, count // 2)
        part = source.read(index, start, frames)
        stop = start + frames
        np.testing.assert_array_equal(part.pixels, clip.pixels[start:stop])
        assert part.captions == captions_between(clip.captions, start, stop)
        rest = source.read(index, start)
        np.testing.assert_array_equal(rest.pixels, clip.pixels[start:])


def test_frames_that_are_not_there_are_refused(source):
    count = source.spec(0).frames
    for start, frames in ((0, count + 1), (count, None), (-1, None), (0, 0)):
        with pytest.raises(ValueError, match=f"within the {count} frames"):
            source.read(0, start, frames)
    for read in (source.spec, source.read):
        with pytest.raises(IndexError):
            read(len(source))


def test_another_size_is_the_same_clip(source, whole):
    for index, clip in enumerate(whole):
        _, height, width, channels = clip.pixels.shape
        large = source.read(index, size=(2 * height, 2 * width))
        assert large.pixels.shape == (len(clip.pixels), 2 * height, 2 * width, channels)
        assert large.captions == clip.captions
        # The colours of pixels that do not show are any.
        shown = over(large.pixels, "grey").reshape(-1, height, 2, width, 2, 3)
        assert np.abs(shown.mean((2, 4)) - over(clip.pixels, "grey")).mean() < 4


def test_order_does_not_matter_and_a_pickle_reads_the_same(source, whole):
    again = pickle.loads(pickle.dumps(source))
    assert len(again) == len(source) == len(whole)
    for index in reversed(range(len(source))):
        same(again.read(index), whole[index])
        same(source.read(index), whole[index])
        assert again.spec(index).captions == source.spec(index).captions


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (20, 1000, (16, 256)),
        (1000, 20, (256, 16)),
        (16, 16, (16, 16)),
        (47, 63, (32, 48)),
        (480, 832, (48, 80)),
        (4000, 16, (256, 16)),
    ],
)
def test_a_frame_is_never_larger_than_asked_for(height, width, expected):
    config = ClipsConfig(path="x", pixels=4096)
    spec = ClipSpec(frames=1, height=height, width=width, fps=1.0)
    assert sized(spec, config) == expected
    assert expected[0] * expected[1] <= config.pixels


def test_clips_that_are_too_small_or_too_short_are_left_out():
    config = ClipsConfig(path="x", multiple=32, pixels=32 * 32, frames=9)
    with pytest.raises(ValueError, match=r"data.multiple \(32\) leave none"):
        open_stored(Take(), config)
    fixed = open_stored(Take(), dataclasses.replace(config, size=(32, 32)))
    assert fixed.read(0).pixels.shape == (9, 32, 32, 3)
    picture = StoredSpec(
        name="p", spec=ClipSpec(frames=1, height=16, width=16, fps=1.0)
    )
    config = ClipsConfig(path="x", frames=9)
    assert len(list(excerpts_of(picture, 0, config))) == 1
    assert not list(
        excerpts_of(picture, 0, dataclasses.replace(config, least_frames=5))
    )
    with pytest.raises(ValueError, match="data.pixels must be at least 32x32"):
        ClipsConfig(path="x", multiple=32, pixels=1000)


def test_captions_of_an_excerpt_tell_what_it_shows():
    clips = open_clips(Take())
    said = [
        [(each.start, each.stop, *each.texts) for each in clips.spec(index).captions]
        for index in range(len(clips))
    ]
    assert said == [
        [
            (0, 9, "a cube, then a ball", "a cube, then a sphere"),
            (0, 8, "a cube"),
            (8, 9, "a ball", "a sphere"),
        ],
        [
            (0, 9, "a ball, then a cone", "a sphere, then a cone"),
            (0, 5, "a ball", "a sphere"),
            (5, 9, "a cone"),
        ],
        [(0, 9, "a cone")],
    ]
    whole = open_stored(Take(), ClipsConfig(path="x", frames=29))
    texts = [each.texts[0] for each in whole.spec(0).captions]
    assert texts == ["a cube, then others", "a cube", "a ball", "a cone"]


def test_captions_of_a_part_count_from_its_beginning():
    both = (
        Caption(texts=("all",), start=0, stop=9),
        Caption(texts=("first",), start=0, stop=4),
        Caption(texts=("second",), start=4, stop=9),
    )
    assert [
        (caption.texts[0], caption.start, caption.stop)
        for caption in captions_between(both, 2, 6)
    ] == [("all", 0, 4), ("first", 0, 2), ("second", 2, 4)]
    assert len(captions_between(both, 5, 9)) == 2
