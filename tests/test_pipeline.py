"""The data pipeline turns clips of any shape into batches of one shape."""

import jax
import numpy as np
import pytest

from sora_jax.config import PackingConfig
from sora_jax.data import pipeline
from sora_jax.data.records import Record, Records, write_shard

PATCH = (1, 2, 2)
PACKING = PackingConfig(tokens=40, rows=3, samples=6, headless=0.4)
# Images and clips: wide, square and tall; the last has a cut at latent frame 2.
SHAPES = [(1, 4, 4, 2), (3, 2, 4, 2), (3, 4, 2, 2), (5, 4, 4, 2), (4, 4, 4, 2)]


def record(number):
    t, h, w, z = SHAPES[number % len(SHAPES)]
    latents = np.full((t, h, w, z), number, np.float32)
    stretches = ((0, (f"start {number}",)),)
    if t == 4:
        stretches += ((2, (f"end {number}",)),)
    return Record(
        latents=latents,
        known=np.ones((t, h, w, 3), np.float32),
        captions=(f"clip {number}",),
        stretches=stretches,
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_shard(folder, 0, [record(number) for number in range(60)])
    write_shard(folder, 1, [record(number) for number in range(60, 100)])
    return Records(folder)


def encode(text, pad_to):
    return np.frombuffer(text.ljust(pad_to).encode()[:pad_to], np.uint8).astype("int32")


def batches(records, count, seed=0):
    stream = pipeline.batches(records, PATCH, PACKING, encode, 12, seed)
    return [next(stream) for _ in range(count)]


def test_a_step_compiles_once_for_every_mixture(records):
    step = jax.jit(lambda batch: batch.tokens.x.sum() + batch.text.sum())
    for batch in batches(records, 12):
        step(batch)
    assert step._cache_size() == 1


def test_an_epoch_shows_every_clip_and_rows_mix_shapes(records):
    _, _, rows = pipeline.plan(records, PATCH, PACKING, 0)
    epoch = batches(records, len(rows) // PACKING.rows)
    seen, mixed = set(), 0
    for batch in epoch:
        tokens = batch.tokens
        for x, segments in zip(tokens.x, tokens.segments, strict=True):
            lengths = [np.sum(segments == i) for i in range(1, segments.max() + 1)]
            mixed += len(set(lengths)) > 1
            seen |= set(x[segments > 0, 0].astype(int))
    assert len(seen) >= 100 - PACKING.rows * PACKING.samples
    assert mixed > len(epoch)


def test_a_headless_crop_continues_something_and_keeps_its_captions(records):
    crops = 0
    for batch in batches(records, 12):
        tokens = batch.tokens
        for row in range(PACKING.rows):
            for segment in range(1, tokens.segments[row].max() + 1):
                here = tokens.segments[row] == segment
                if tokens.coords[row, here, 0].min() == 0:
                    continue
                crops += 1
                # It begins with clean tokens, and its channels say nothing.
                assert not tokens.made[row, here][0]
                assert tokens.made[row, here][-1]
                assert np.all(tokens.extra[row, here] == 0)
                caption = batch.text[row, batch.text_ids[row, here] - 1]
                text = bytes(caption[-1].astype(np.uint8)).decode().strip()
                number = int(tokens.x[row, here][0, 0])
                dropped = text == ""
                kind = "end" if number % len(SHAPES) == 4 else "start|clip"
                assert dropped or text.split()[0] in kind.split("|")
                assert dropped or text.split()[1] == str(number)
    assert crops > 10


def test_the_same_seed_gives_the_same_batches(records):
    for a, b in zip(batches(records, 3), batches(records, 3), strict=True):
        for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_array_equal(ours, theirs)
