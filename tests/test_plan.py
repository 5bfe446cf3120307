"""Compiled programs are read rightly, and arithmetic agrees with what is counted."""

import dataclasses
import json

import jax
import pytest

from sora_jax import cli
from sora_jax.config import MeshConfig, PackingConfig
from sora_jax.plan import (
    chips,
    collectives,
    command,
    planner,
    search,
    traffic,
    work,
)
from sora_jax.plan.work import Work
from tests.helpers.paths import CONFIGS
from tests.helpers.processes import run_module

HERE = chips.Machine(
    name="here", chip=chips.CHIPS["v5e"], chips=1, devices=jax.devices()[:1]
)
PROGRAM = """HloModule jit_step
%inside (p: bf16[64,8]) -> bf16[256,8] {
  %p = bf16[64,8]{1,0} parameter(0)
  ROOT %gathered = bf16[256,8]{1,0} all-gather(%p), channel_id=3, GROUPS
}
%all-reduce-scatter.1 (q: f32[64]) -> f32[16] {
  %q = f32[64]{0} parameter(0)
  %all-reduce.1 = f32[64]{0} all-reduce(%q), channel_id=4, GROUPS
  ROOT %cut = f32[16]{0} dynamic-slice(%all-reduce.1), dynamic_slice_sizes={16}
}
%condition (c: (s32[], f32[8,4])) -> pred[] {
  %c = (s32[], f32[8,4]{1,0}) parameter(0)
  %last = s32[] constant(30)
  %i = s32[] get-tuple-element(%c), index=0
  ROOT %less = pred[] compare(%i, %last), direction=LT
}
%body (b: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %b = (s32[], f32[8,4]{1,0}) parameter(0)
  %x = f32[8,4]{1,0} get-tuple-element(%b), index=1
  %sent = f32[8,4]{1,0} collective-permute(%x), channel_id=1, PAIRS
  %traded = f32[8,4]{1,0} all-to-all(%sent), channel_id=2, GROUPS
  ROOT %t = (s32[], f32[8,4]{1,0}) tuple(%x, %traded)
}
ENTRY %main (a: f32[8,4],
    w: bf16[64,8]) -> f32[8,4] {
  %a = f32[8,4]{1,0} parameter(0)
  %w = bf16[64,8]{1,0} parameter(1)
  %one = bf16[256,8]{1,0} fusion(%w), calls=%inside, metadata={op_name="begin"}
  %two = bf16[256,8]{1,0:S(1)} fusion(%w), kind=kCustom, calls=%inside
  %loop = (s32[], f32[8,4]{1,0}) while(%one), condition=%condition, body=%body
  %scattered = f32[16]{0} fusion(%a), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %out = f32[8,4]{1,0} get-tuple-element(%loop), index=1
}
"""
PROGRAM = PROGRAM.replace("GROUPS", "replica_groups={{0,1,2,3},{4,5,6,7}}")
PROGRAM = PROGRAM.replace("PAIRS", "source_target_pairs={{0,1},{1,0}}")


def test_loops_multiply_what_is_sent():
    found = {one.kind: one for one in collectives.of_program(PROGRAM)}
    array, gathered = 8 * 4 * 4, 256 * 8 * 2
    assert found["collective-permute"].sent == 30 * array
    assert found["all-to-all"].sent == 30 * array * 3 / 4
    # What runs beside two fusions is one collective.
    assert found["all-gather"].sent == gathered * 3 / 4
    assert found["all-gather"].source == "begin"
    assert found["reduce-scatter"].sent == 3 * 16 * 4
    assert len(collectives.of_program(PROGRAM)) == 4


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("{{0,1},{2,3}}", 2),
        ("[2,4]<=[8]", 4),
        ("mesh['axis_0'=4,'axis_1'=2,'axis_2'=3] {'axis_0','axis_2'}", 12),
    ],
)
def test_groups_are_read_however_they_are_written(groups, size):
    written = PROGRAM.replace("{{0,1,2,3},{4,5,6,7}}", groups)
    assert {one.group for one in collectives.of_program(written)} >= {size}


ABROAD = (
    "  %send = (f32[8,64]{1,0}, u32[], token[]) send(%a, %begin), channel_id=3, "
    "is_host_transfer=true, frontend_attributes={_xla_megascale_target="
    '"{1,2,3,4}x{0:3}",_xla_megascale_transfer_type="ALL_REDUCE"}\n'
)


def test_what_goes_to_other_slices_is_told_apart():
    program = PROGRAM.replace("  %loop =", f"{ABROAD}  %loop =")
    sent = collectives.by_kind(collectives.of_program(program))
    assert sent.pop(collectives.NETWORK) == 8 * 64 * 4 * 2 * 3 / 4
    assert sent == collectives.by_kind(collectives.of_program(PROGRAM))


SLICED = """HloModule jit_step
%layer (p: bf16[30,64,8], i: s32[]) -> bf16[1,512] {
  %p = bf16[30,64,8]{2,1,0} parameter(0)
  %i = s32[] parameter(1)
  %flat = bf16[30,512]{1,0} bitcast(%p)
  ROOT %cut = bf16[1,512]{1,0} dynamic-slice(%flat, %i), dynamic_slice_sizes={1,512}
}
%outer (r: bf16[30,64,8], j: s32[]) -> bf16[1,512] {
  %r = bf16[30,64,8]{2,1,0} parameter(0)
  %j = s32[] parameter(1)
  ROOT %inside = bf16[1,512]{1,0} fusion(%r, %j), kind=kLoop, calls=%layer
}
ENTRY %main (a: bf16[30,64,8], n: s32[]) -> bf16[1,512] {
  %a = bf16[30,64,8]{2,1,0} parameter(0)
  %n = s32[] parameter(1)
  %early = ((bf16[30,64,8]), bf16[8]{0:S(1)}, s32[]) slice-start(%a), slice={[0:8]}
  ROOT %out = bf16[1,512]{1,0} fusion(%a, %n), kind=kLoop, calls=%outer
}
"""


def test_a_layer_of_a_stack_is_read_alone_in_whatever_shape():
    fusion, started_early = 2 * 512 * 2 + 4, 8 * 2
    assert traffic.moved_bytes(SLICED) == fusion + started_early


def test_memory_on_the_chip_is_no_traffic():
    weights, gathered, array = 64 * 8 * 2, 256 * 8 * 2, 8 * 4 * 4
    loop = 30 * 2 * (array + array)
    fusions = (weights + gathered) + weights + (array + 16 * 4)
    assert traffic.moved_bytes(PROGRAM) == loop + fusions


LAYERS = """HloModule jit_layers
%read (stack: f32[30,8,4], i: s32[]) -> f32[8,4] {
  %stack = f32[30,8,4]{2,1,0} parameter(0)
  %i = s32[] parameter(1)
  %zero = s32[] constant(0)
  %cut = f32[1,8,4]{2,1,0} dynamic-slice(%stack, %i, %zero, %zero), sizes={1,8,4}
  ROOT %layer = f32[8,4]{1,0} bitcast(%cut)
}
%write (all: f32[30,8,4], one: f32[1,8,4], at: s32[]) -> f32[30,8,4] {
  %all = f32[30,8,4]{2,1,0} parameter(0)
  %one = f32[1,8,4]{2,1,0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %new = f32[30,8,4]{2,1,0} dynamic-update-slice(%all, %one, %at)
}
ENTRY %main (a: f32[30,8,4], n: s32[]) -> f32[30,8,4] {
  %a = f32[30,8,4]{2,1,0} parameter(0)
  %n = s32[] parameter(1)
  %layer.1 = f32[8,4]{1,0} fusion(%a, %n), kind=kLoop, calls=%read
  %wide = f32[1,8,4]{2,1,0} bitcast(%layer.1)
  ROOT %b = f32[30,8,4]{2,1,0} fusion(%a, %wide, %n), kind=kLoop, calls=%write
}
"""


def test_of_a_stack_of_layers_the_layer_is_moved():
    layer, index = 8 * 4 * 4, 4
    assert traffic.moved_bytes(LAYERS) == 2 * layer + index + 2 * layer + index


def test_recomputation_and_narrow_heads_cost_time():
    run = cli.load_config("configs/dit_debug.py")
    packing = PackingConfig(tokens=64, rows=2, samples=1)

    def of(remat):
        model = dataclasses.replace(run.dit, remat=remat)
        return work.of_training(dataclasses.replace(run, dit=model, packing=packing))

    none, full, attention = (of(remat) for remat in ("none", "full", "attention"))
    assert none.model == full.model == attention.model
    forward = 2 * work.attention_flops(run.dit, 64, 64)  # of two rows
    assert none.attention == 3 * forward
    assert full.attention_done - none.attention_done == pytest.approx(forward)
    assert attention.attention_done == none.attention_done
    assert full.done == attention.done == pytest.approx(none.done * 4 / 3)
    chip = chips.CHIPS["v6e"]
    assert Work(model=1.0, attention=0.0, done=0.0, attention_done=chip.flops).seconds(
        chip, chips=2, head_dim=128
    ) == pytest.approx(1.0)  # half of the matrix unit, on two chips


def test_a_refusal_says_how_much_would_be_needed():
    message = "E1000: CompileTimeHbmOom … total memory required (20.38G) exceeds"
    assert planner.needed(message) == pytest.approx(20.38 * 2**30)


@pytest.mark.slow
def test_steps_of_training_and_sampling_are_planned():
    printed = run_module("tests.spawned.plan_here", "configs/dit_debug.py")
    plans = [json.loads(line) for line in printed.splitlines()]
    train, sample, decode = plans
    for found in plans:
        assert found["fits"] and not found["collective_bytes"]
        assert found["peak_hbm_bytes"] > sum(found["held_bytes"].values())
        ideal = found["model_flops"] / chips.CHIPS["v5e"].flops
        bounds = found["bounds_s"]
        assert ideal <= bounds["compute_nominal"] <= bounds["compute"]
        slowest = max(bounds.values())
        assert found["mfu_bound"] == pytest.approx(ideal / slowest)
        assert found["mfu_bound"] <= found["mfu_bound_nominal"]
        assert "mesh of one device" in found["report"]
    assert train["held_bytes"]["average"] == train["held_bytes"]["parameters"]
    assert train["chip_hours"] == pytest.approx(
        1000 * max(train["bounds_s"].values()) / 3600
    )


@pytest.mark.parametrize(
    ("name", "rows", "tokens", "memory"),
    [
        ("wan.py:wan21_flf2v_14b", 2, 21 * 45 * 80, [40, 2, 514, 40, 128]),
        ("wan.py:wan21_vace_1b3", 2, 21 * 30 * 52, [15, 2, 512, 12, 128]),
        ("wan.py:wan21_1b3_causal", 1, 3 * 30 * 52, [30, 1, 18 * 30 * 52, 12, 128]),
        # A chunk and its history: 4 x 60, 240 and 2 x 960 tokens.
        ("helios.py:helios_base", 2, 9 * 24 * 40 + 2400, [40, 2, 512, 40, 128]),
    ],
)
@pytest.mark.slow
def test_steps_of_every_kind_are_lowered(name, rows, tokens, memory):
    """At full size: keys of CLIP's states, a control branch, earlier blocks, text."""
    shapes = json.loads(run_module("tests.spawned.lowered", f"{CONFIGS}/{name}"))
    assert memory in shapes
    assert any(shape[:2] == [rows, tokens] for shape in shapes)


def test_products_of_queries_and_keys_grow_with_both():
    run = cli.load_config("configs/dit_debug.py")

    def model(tokens):
        packing = PackingConfig(tokens=tokens, rows=1, samples=1)
        return work.of_training(dataclasses.replace(run, packing=packing)).model

    # What is left of twice the tokens without twice the work is attention.
    squares = (model(128) - 2 * model(64)) / 3
    expected = work.attention_flops(run.dit, 128, 128) - 2 * work.attention_flops(
        run.dit, 64, 64
    )
    text = 0.02 * expected  # the text encoder's share does not grow
    assert squares == pytest.approx(expected, abs=text + model(64))


def test_a_plan_is_asked_for_beside_a_config(capsys):
    options = ["--topology=v9:2x2", "--config=configs/dit_debug.py", "--json"]
    with pytest.raises(ValueError, match="--topology must be KIND:SHAPE.*'v9:2x2'"):
        command.main([*options, "--config.mesh.fsdp=2"])
    with pytest.raises(ValueError, match="a run has one of its own, --config.mesh"):
        command.main([*options, "--mesh.context=4"])
    with pytest.raises(ValueError, match="--slices must be >= 1.*got 0 and 0"):
        command.main([*options, "--slices=0"])
    with pytest.raises(ValueError, match="gives Series, which has no plan"):
        command.main(["--topology=v6e:2x4", "--config=configs/playground.py"])
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "--topology" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["v6e", "v9:2x2", "v6e:2y4", "tpu:1x1"])
def test_a_topology_that_is_none_is_named(name):
    with pytest.raises(ValueError, match="--topology must be KIND:SHAPE"):
        chips.machine(name)


def test_the_search_orders_what_may_fit():
    run = cli.load_config("configs/wan_train.py:1b3")
    here = dataclasses.replace(HERE, chips=16, devices=HERE.devices * 16)
    # A smaller one of the kind, quickly counted.
    model = dataclasses.replace(run.dit, depth=2)
    packing = dataclasses.replace(run.packing, tokens=4096, rows=4)
    run = dataclasses.replace(run, dit=model, packing=packing)
    found = search.for_training(run, here)
    fitting = [one for one in found if one.bytes <= here.chip.hbm_bytes]
    assert found[: len(fitting)] == fitting and len(fitting) >= 3
    assert [o.seconds for o in fitting] == sorted(o.seconds for o in fitting)
    for one in found:
        mesh = one.mesh
        assert mesh.data * mesh.fsdp * mesh.context * mesh.tensor == 16
        assert packing.rows % (mesh.data * mesh.fsdp) == 0
        assert model.heads % mesh.tensor == 0
    # More is held where less is computed again, and where fewer share parameters.
    held = {(o.mesh, o.remat): o.bytes for o in found}
    shares = MeshConfig(data=1, fsdp=4, context=4)
    assert held[shares, "none"] > held[shares, "attention"] > held[shares, "full"]
    copies = dataclasses.replace(shares, data=4, fsdp=1)
    assert held[copies, "full"] > held[shares, "full"]
    nowhere = dataclasses.replace(run, packing=dataclasses.replace(packing, rows=2**20))
    assert search.nearest(nowhere, here).startswith("no mesh of these chips fits")
    assert "this would fit: " in search.nearest(run, here)
