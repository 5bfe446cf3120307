"""Encoding any clips: several draws of each, backgrounds, and other clips refused."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from sora_jax import locking
from sora_jax.config import EncodeRun, PlaygroundConfig, VAEConfig
from sora_jax.data import backgrounds
from sora_jax.data.records import Records, write_serialized, write_shard
from sora_jax.data.sources.protocol import ClipSpec, Sources
from sora_jax.data.video import to_float
from sora_jax.evals import metrics
from sora_jax.models import vae as models
from sora_jax.training import encode
from sora_jax.training.encode_clips import draw, encode_group, tell
from sora_jax.training.encode_quality import report_reconstruction
from sora_jax.types import Caption
from sora_jax.weights import workdirs
from sora_jax.worlds.playground.source import Playground
from tests.helpers.tiny import make

VAE = VAEConfig(channels=4)
TINY = VAEConfig(encoder_width=4, decoder_width=4, channels=4)
RUN = EncodeRun(draws=3, conditioned=0.5, batch=2)
SPEC = ClipSpec(
    frames=5,
    height=16,
    width=16,
    fps=8.0,
    captions=(Caption(texts=("a star", "a small star"), start=0, stop=5),),
    has_alpha=True,
)


def mean_latents(clips):
    """The mean colour of each cell, as latents."""
    b, t, h, w, _ = clips.shape
    cells = clips[:, ::4].reshape(b, 1 + (t - 1) // 4, h // 8, 8, w // 8, 8, 3)
    means = cells.mean(axis=(3, 5))
    return np.concatenate([means, means[..., :1]], axis=-1)


def clips(alpha):
    pixels = np.full((5, 16, 16, 4), 255, np.uint8)
    pixels[..., 3] = alpha
    return [(number, SPEC, pixels) for number in range(2)]


def test_draws_differ_in_background_and_captions_tell_it():
    records = encode_group(RUN, clips(alpha=0), mean_latents, VAE)
    assert len(records) == 2 * RUN.draws
    colours = set()
    for number, record in enumerate(records):
        shown = draw(RUN, number // RUN.draws, number % RUN.draws, clips(0)[0][2])
        phrases = backgrounds.phrases(shown.background)
        for told, text in zip(record.captions, SPEC.captions[0].texts, strict=True):
            ends = [f"{text} {phrase}" for phrase in phrases]
            begins = [f"{phrase}, {text}" for phrase in phrases]
            assert told in (text, *ends, *begins)
        colours.add(shown.background)
        np.testing.assert_allclose(
            record.latents[..., :3], mean_latents(shown.pixels[None])[0, ..., :3]
        )
    assert len(colours) > 2


def test_captions_tell_a_background_at_either_end_or_not():
    rng = np.random.default_rng(0)
    told = tell(["a star"] * 300, "night", rng)
    shares = [
        sum(text == "a star" for text in told) / 300,
        sum(text.endswith(", a star") for text in told) / 300,
        sum(text.startswith("a star ") for text in told) / 300,
    ]
    assert sum(shares) == 1
    np.testing.assert_allclose(shares, [0.2, 0.2, 0.6], atol=0.08)
    assert len(set(told)) == 1 + 2 * len(backgrounds.phrases("night"))
    assert tell(("a star",), "", rng) == ("a star",)
    assert set(tell([""] * 60, "night", rng)) == {"", *backgrounds.phrases("night")}


def test_clips_without_transparency_have_one_picture_and_several_conditions():
    opaque = [(i, SPEC, pixels[..., :3]) for i, _, pixels in clips(255)]
    draws = [draw(RUN, 0, number, opaque[0][2]) for number in range(8)]
    assert {each.background for each in draws} == {""}
    assert len({each.condition.mask.tobytes() for each in draws}) > 2
    records = encode_group(RUN, opaque, mean_latents, VAE)
    for record in records[1:]:
        np.testing.assert_array_equal(record.latents, records[0].latents)


def test_every_draw_is_read_from_its_own_record(tmp_path):
    records = encode_group(RUN, clips(alpha=0), mean_latents, VAE)
    write_shard(tmp_path, 0, records, RUN.draws)
    write_shard(tmp_path, 1, records[:2], 1)
    found = Records(tmp_path)
    assert [found.draws(number) for number in range(len(found))] == [3, 3, 1, 1]
    for number in range(2):
        for each in range(3):
            expected = records[number * 3 + each]
            record = found.read(number, each)
            assert record.captions == expected.captions
            # Zeros are not stored, and come back.
            np.testing.assert_allclose(record.extra, expected.extra, atol=1e-3)
    assert found[3].captions == records[1].captions


def test_a_shard_holds_no_arrays_while_it_is_encoded(tmp_path, monkeypatch):
    seen = []

    def write(folder, number, records, draws):
        seen.extend(records)
        write_serialized(folder, number, records, draws)

    monkeypatch.setattr(encode, "write_serialized", write)
    config = PlaygroundConfig(
        length=3, frames=((5, 1.0),), sizes=(((16, 16), 1.0),), kinds=(("one", 1.0),)
    )
    run = dataclasses.replace(RUN, data=config)
    lock = locking.Lock(epath.Path(tmp_path))
    source = Playground(config)
    encode.encode_split(run, source, tmp_path / "train", mean_latents, VAE, lock)
    assert len(seen) == 3 * RUN.draws
    assert all(isinstance(record.content, bytes) for record in seen)
    assert [Records(tmp_path / "train").draws(i) for i in range(3)] == [RUN.draws] * 3


@pytest.mark.parametrize("name", backgrounds.BACKGROUNDS)
def test_a_background_is_seen_where_a_clip_is_transparent(name):
    pixels = clips(alpha=0)[0][2]
    shown = backgrounds.over(pixels, name)
    np.testing.assert_array_equal(shown[2], backgrounds.picture(name, 16, 16))
    opaque = backgrounds.over(clips(alpha=255)[0][2], name)
    np.testing.assert_array_equal(opaque, pixels[..., :3])
    texts = backgrounds.phrases(name)
    assert len(set(texts)) == len(texts) > 2
    assert all(name in text for text in texts)


def test_a_changed_dataset_is_refused(tmp_path):
    source = Playground(PlaygroundConfig(length=3))
    sources = Sources(train=source, held_out=source, digest="one")
    encode.refuse_other_clips(str(tmp_path), sources)  # nothing is encoded yet
    encode.write_json(epath.Path(tmp_path) / workdirs.CLIPS, encode.clips_of(sources))
    encode.refuse_other_clips(str(tmp_path), sources)
    changed = dataclasses.replace(sources, digest="two")
    with pytest.raises(ValueError, match="clips of other files .3 training clips"):
        encode.refuse_other_clips(str(tmp_path), changed)


def test_hosts_hear_of_a_failure_in_every_stage(tmp_path, monkeypatch):
    """A host that fails alone would leave the others waiting for it."""
    told = []

    @contextlib.contextmanager
    def noted():
        try:
            yield
        except ValueError as error:
            told.append(str(error))
            raise

    def fail(name):
        def failing(*arguments, **options):
            raise ValueError(name)

        return failing

    monkeypatch.setattr(encode.sharding, "fail_together", noted)
    source = Playground(PlaygroundConfig(length=3))
    sources = Sources(train=source, held_out=source)
    stages = ("refuse_other_config", "refuse_other_clips", "prepare", "encode_splits")
    for name in stages:
        monkeypatch.setattr(encode, name, lambda *arguments, **options: None)
    for name in stages:
        with monkeypatch.context() as patched:
            patched.setattr(encode, name, fail(name))
            with pytest.raises(ValueError, match=name):
                encode.encode(EncodeRun(), str(tmp_path / "run"), sources)
    assert told == list(stages)


def test_a_vae_that_loses_the_clips_is_told(caplog, capsys):
    config = PlaygroundConfig(length=2, frames=((5, 1.0),), sizes=(((16, 16), 1.0),))
    source, vae = Playground(config), make(models.VAE, TINY)
    run = EncodeRun(vae="some/weights", data=config)
    decibels = report_reconstruction(vae, run, source)
    clips = [to_float(source.read(index).pixels)[None] for index in range(2)]
    through = jax.jit(lambda vae, clip: vae.reconstruct(vae.posterior(clip)[0])[0])
    decoded = [np.asarray(through(vae, clip)) for clip in clips]
    expected = [
        metrics.psnr(clip, np.clip(frames, -1, 1))
        for clip, frames in zip(clips, decoded, strict=True)
    ]
    assert decibels == pytest.approx(float(np.mean(expected)), abs=0.01)
    assert f"evaluation at {decibels:.1f} dB" in capsys.readouterr().out
    assert "some/weights" in caplog.text


def test_a_tokenizer_learns_the_words_of_all_sources_that_training_mixes():
    class Zebras:
        def __len__(self):
            return 40

        def spec(self, index):
            text = f"a zebra gallops {'left' if index % 2 else 'right'}"
            said = (Caption(texts=(text,), start=0, stop=5),)
            return dataclasses.replace(SPEC, captions=said, has_alpha=False)

        def read(self, index, start=0, frames=None, size=None):
            raise AssertionError("captions need no pixels")

    world = Playground(PlaygroundConfig(length=40))
    alone = encode.make_tokenizer(RUN, (world,))
    both = encode.make_tokenizer(RUN, (world, Zebras()))
    text = "a zebra gallops"
    assert both.count(text) < alone.count(text)
