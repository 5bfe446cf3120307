"""Every way to share a step among devices gives the same step."""

import pytest

from sora_jax import sharding
from tests.helpers.processes import on_many_devices

# Every pair of axes; tokens are shared by exchanging heads, around a ring, or both.
# The first two also take a step, whose optimizer sees parameters in parts.
STEPS = [
    {"data": 2, "fsdp": 2, "tensor": 2},
    {"fsdp": 2, "context": 4, "ulysses": 2},
]
# Heads exchanged alone, and a ring of more than one hop, back and forth.
GRADIENTS = [
    {"data": 2, "context": 2, "ulysses": 1, "tensor": 2},
    {"context": 2},
    {"context": 4, "ulysses": 1},
]
# Of videos: every pair, prompts and guidance apart, rings of groups, parameters shared.
VIDEOS = [
    {"data": 2, "fsdp": 2, "tensor": 2},
    {"data": 2, "context": 4},
    {"data": 1, "context": 8, "ulysses": 2},
    {"data": 1, "fsdp": 2, "context": 2, "tensor": 2},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("meshes", "measures"),
    [
        (STEPS, {"loss", "gradient", "streamed", "step", "average"}),
        (GRADIENTS, {"loss", "gradient", "streamed"}),
    ],
    ids=["steps", "gradients"],
)
def test_a_step_is_the_same_on_every_mesh(meshes, measures):
    steps = str(len(meshes) if "step" in measures else 0)
    found = on_many_devices("steps_on_many_devices", meshes, steps)
    assert [one.pop("mesh") for one in found] == meshes
    for errors in found:
        assert set(errors) == measures
        # In float64: a billionth is no rounding, even where Adam divides by a gradient
        # that is nothing but rounding (of a key's bias, which moves no softmax).
        assert max(errors.values()) <= 1e-9, errors


@pytest.mark.slow
def test_a_video_is_the_same_on_every_mesh(tmp_path):
    found = on_many_devices("videos_on_many_devices", VIDEOS, tmp_path / "weights")
    assert [one.pop("mesh") for one in found] == VIDEOS
    for errors in found:
        assert set(errors) == {"made", "extended"}
        assert max(errors.values()) <= 1e-9, errors


@pytest.mark.parametrize(
    ("rows", "columns", "devices", "grid"),
    [
        (136, 240, 256, (8, 16)),
        (6, 6, 8, (2, 2)),
        (60, 104, 8, (2, 4)),
        (7, 5, 4, (1, 1)),
    ],
)
def test_devices_share_frames_in_a_grid_that_divides_them(rows, columns, devices, grid):
    assert sharding.frame_grid(rows, columns, devices) == grid


def test_context_is_shared_by_heads_and_around_a_ring():
    with pytest.raises(
        ValueError, match=r"mesh.ulysses must divide mesh.context \(1\)"
    ):
        sharding.make_mesh({"data": -1, "ulysses": 2})
    with pytest.raises(ValueError, match="multiply to the 1 slices"):
        sharding.make_mesh({"data": -1, "data_slices": 2})
