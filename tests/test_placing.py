"""Where state and batches lie, and what devices and hosts cannot share."""

import jax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sora_jax import sharding
from sora_jax.config import (
    VAERun,
)
from sora_jax.sharding import MeshPlan, placing
from sora_jax.sharding.hosts import share_of


def test_a_batch_that_the_mesh_cannot_share_is_named(monkeypatch):
    mesh = sharding.make_mesh({"data": -1})
    mesh_plan = MeshPlan(mesh, VAERun().rules)
    sharding.check_batch("batch", 3, mesh_plan)
    monkeypatch.setitem(vars(mesh), "shape", {"data": 2, "fsdp": 2})
    monkeypatch.setattr(placing, "host_share", lambda mesh_plan: (0, 1))
    with pytest.raises(ValueError, match="batch must be a multiple of 4.*got 7"):
        sharding.check_batch("batch", 7, mesh_plan)


def test_hosts_read_the_same_rows_or_others():
    assert share_of(1, {0: {0, 1}, 1: {2, 3}}) == (1, 2)
    assert share_of(1, {0: {0, 1}, 1: {0, 1}}) == (0, 1)
    assert share_of(2, {0: {0}, 1: {0}, 2: {1}, 3: {1}}) == (1, 2)
    for rows in ({0: {0, 1}, 1: {1, 2}}, {0: {0, 1}, 1: {2}}):
        with pytest.raises(ValueError, match="the 2 hosts must read either the same"):
            share_of(0, rows)


def test_a_mesh_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="exactly the 1 devices present, got 15"):
        sharding.make_mesh({"data": 3, "fsdp": 5})
    with pytest.raises(ValueError, match="divisor of the 1 devices present, got 2"):
        sharding.make_mesh({"data": -1, "fsdp": 2})


def test_moments_lie_where_their_parameters_do():
    mesh = sharding.make_mesh({"data": -1})
    placed = {"up": {"kernel": NamedSharding(mesh, P("fsdp", "tensor"))}}
    kernel = {"up": {"kernel": jax.ShapeDtypeStruct((4, 4), "float32")}}
    count = jax.ShapeDtypeStruct((), "int32")
    # Muon keeps one number for each matrix; it has the matrix's name, not its axes.
    number = {"up": {"kernel": count}}
    state = {"ema": kernel, "opt_state": (count, kernel, number)}
    found = sharding.state_shardings(state, placed, MeshPlan(mesh))
    assert found["ema"]["up"]["kernel"].spec == P("fsdp", "tensor")
    assert found["opt_state"][1]["up"]["kernel"].spec == P("fsdp", "tensor")
    assert found["opt_state"][0].spec == P()
    assert found["opt_state"][2]["up"]["kernel"].spec == P()
