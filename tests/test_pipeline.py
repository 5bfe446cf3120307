"""The data pipeline turns clips of any shape into batches of one shape."""

import dataclasses
import math

import jax
import numpy as np
import pytest
import safetensors.numpy

from sora_jax.config import DiTRun, PackingConfig
from sora_jax.data import pipeline, planning
from sora_jax.data.records import Record, Records, from_bytes, to_bytes, write_shard

PATCH = (1, 2, 2)
PACKING = PackingConfig(tokens=40, rows=3, samples=6, mid_clip=0.4)
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
        extra=np.ones((t, h, w, 3), np.float32),
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


def batches(records, count, seed=0, packing=PACKING):
    plan = planning.plan_epoch(records.index, PATCH, packing, seed)
    build = pipeline.BuildRow(records, plan.views, PATCH, packing, encode, 12)
    stream = pipeline.batches(build, plan.rows, seed)
    return [next(stream) for _ in range(count)]


def test_an_epoch_shows_every_clip_once_and_rows_mix_shapes(records):
    packing = dataclasses.replace(PACKING, rows=1, mid_clip=0.0)
    rows = planning.plan_epoch(records.index, PATCH, packing, 0).rows
    seen, mixed = [], 0
    for batch in batches(records, len(rows), packing=packing):
        (x,), (segments,) = batch.tokens.x, batch.tokens.segments
        here = [segments == i for i in range(1, segments.max() + 1)]
        mixed += len({mask.sum() for mask in here}) > 1
        seen += [int(x[mask][0, 0]) for mask in here]
    assert sorted(seen) == list(range(100))
    assert mixed > len(rows) / 3


def test_causal_samples_are_cut_into_blocks_of_time(records):
    packing = dataclasses.replace(PACKING, causal=0.5, block=2, blocks=3)
    whole = cut = 0
    for batch in batches(records, 8, packing=packing):
        tokens = batch.tokens
        assert tokens.levels.shape == (3, packing.levels) == (3, 19)
        for row in range(3):
            segments, times = tokens.segments[row], tokens.coords[row, :, 0]
            used = set()
            for number in range(1, segments.max() + 1):
                here = segments == number
                order, t = tokens.order[row][here], times[here]
                levels = set(tokens.level_ids[row][here & tokens.target_mask[row]])
                assert not levels & used and 0 not in levels
                used |= levels
                if t.max() > t.min():
                    whole += not order.any()
                    cut += order.any()
                if order.any():
                    first = np.ceil(t.min() / 2)
                    expected = np.minimum(np.ceil(t / 2) - first, 2)
                    np.testing.assert_array_equal(order, expected)
                    assert len(levels) <= 3
    assert 0.25 < cut / (cut + whole) < 0.75
    plain = dataclasses.replace(packing, causal=0.0)
    assert batches(records, 1, packing=plain)[0].tokens.order is None


def test_every_epoch_has_luck_of_its_own_and_hosts_part_each_batch():
    def draws(share):
        stream = pipeline.shuffled(range(8), lambda i, rng: rng.random(), 4, 0, share)
        return np.stack([next(stream) for _ in range(4)])

    alone = draws((0, 1))
    assert len(set(alone.ravel())) == 16  # two epochs of eight
    shared = np.concatenate([draws((host, 2)) for host in range(2)], axis=1)
    np.testing.assert_array_equal(shared, alone)


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
                assert not tokens.target_mask[row, here][0]
                assert tokens.target_mask[row, here][-1]
                assert np.all(tokens.extra[row, here] == 0)
                read = batch.contexts["text"]
                caption = read.inputs[row, read.ids[row, here] - 1]
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


def test_longer_clips_than_the_longest_are_left_out(records, tmp_path):
    packing = dataclasses.replace(PACKING, mid_clip=0.0, longest=1)
    views = planning.plan_epoch(records.index, PATCH, packing, 0).views
    assert {records.index[view.record].frames for view in views} == {1}
    assert len(views) == 20
    write_shard(tmp_path, 0, [record(1), record(2)])
    with pytest.raises(ValueError, match="packing.longest 1 leaves no clip"):
        planning.plan_epoch(Records(tmp_path).index, PATCH, packing, 0)


def test_records_of_version_0_1_are_read():
    """They called the conditioning channels by another name."""
    before = record(3)
    stored = safetensors.numpy.load(to_bytes(before))
    stored["known"] = stored.pop("extra")
    after = from_bytes(safetensors.numpy.save(stored))
    np.testing.assert_array_equal(after.extra, before.extra)
    np.testing.assert_array_equal(after.latents, before.latents)


def rows_of(batch):
    return {row.tobytes() for row in batch.tokens.x}


def test_a_run_continues_on_any_number_of_hosts(records):
    """Batches depend on their step alone: 1, then 2, then 1 hosts read the same."""
    packing = dataclasses.replace(PACKING, rows=4)
    plan = planning.plan_epoch(records.index, PATCH, packing, 0)
    build = pipeline.BuildRow(records, plan.views, PATCH, packing, encode, 12)

    def read(hosts, first, count):
        streams = [
            pipeline.batches(build, plan.rows, 0, (host, hosts), first)
            for host in range(hosts)
        ]
        return [
            set().union(*(rows_of(next(stream)) for stream in streams))
            for _ in range(count)
        ]

    whole = read(1, 0, 9)
    assert whole == read(1, 0, 3) + read(2, 3, 3) + read(1, 6, 3)
    assert len({frozenset(rows) for rows in whole}) == len(whole)


@pytest.mark.slow
def test_worker_processes_read_the_same_as_threads():
    def stream(workers):
        return pipeline.shuffled(range(12), doubled, 4, 0, workers=workers, first=2)

    expected = stream(0)
    wanted = [next(expected) for _ in range(5)]
    for workers in (1, 2):
        found = stream(workers)
        for each in wanted:
            np.testing.assert_array_equal(next(found), each)
        found.close()


def doubled(number, rng):
    return np.array([2 * number, rng.integers(1000)])


def test_folders_are_shown_as_often_as_their_weights_say(records):
    run = DiTRun(more_latents=("other",), weights=(0.5, 1.5))
    assert run.repeats == (1, 3)
    repeats = [1] * 60 + [3] * 40
    plan = planning.plan_epoch(records.index, PATCH, PACKING, 0, repeats)
    shown = np.bincount([view.record for view in plan.views], minlength=100)
    np.testing.assert_array_equal(shown, repeats)
    with pytest.raises(ValueError, match="weights must be > 0, one for each of 2"):
        DiTRun(more_latents=("other",), weights=(1.0,))
    assert DiTRun(more_latents=("other",), weights=(0.33, 1.0)).repeats == (1, 3)
    assert DiTRun(more_latents=("other",), weights=(1.0, 1000.0)).repeats == (1, 1000)
    for weights in ((1.0, 1.4), (2.0, 3.0), (1.0, 2000.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match="weights must be whole multiples"):
            DiTRun(more_latents=("other",), weights=weights)
