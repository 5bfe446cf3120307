"""What a run refuses before it starts, and where its state lies."""

import dataclasses

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from tiny import make

from sora_jax import sharding
from sora_jax.config import (
    DiTConfig,
    DiTRun,
    EncodeRun,
    PackingConfig,
    PlaygroundConfig,
    TextConfig,
    VAEConfig,
    VAERun,
    to_json,
)
from sora_jax.data.records import Record, write_shard
from sora_jax.models.tokenizer import train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.sharding import placing
from sora_jax.sharding.hosts import share_of
from sora_jax.training import dit, encode, loop, vae
from sora_jax.training.latents import check_start, load_start, open_latents
from sora_jax.training.report import Report
from sora_jax.training.state import Optimization, plan_state
from sora_jax.weights import publish, published
from sora_jax.weights.workdirs import load_trained, source_hashes
from sora_jax.workdir import keep_config

TINY = VAEConfig(encoder_width=4, decoder_width=4, channels=4)


@pytest.fixture
def latents(tmp_path):
    record = Record(
        latents=np.zeros((1, 4, 4, 8), np.float32),
        known=np.zeros((1, 4, 4, 12), np.float32),
        captions=("a ball",),
        stretches=((0, ("a ball",)),),
    )
    for split in ("train", "held_out"):
        write_shard(tmp_path / split, 0, [record] * 3)
    (tmp_path / "vae.safetensors").write_bytes(b"a VAE")
    train_tokenizer(["a ball", "a box"], tmp_path / "tokenizer.model", vocab_size=300)
    encoded = EncodeRun(data=PlaygroundConfig(length=3), held_out_clips=3)
    keep_config(tmp_path, to_json(encoded))
    return tmp_path


def run(latents, **fields):
    fields = {"channels": 8, "extra_channels": 12, **fields}
    return DiTRun(latents=str(latents), dit=DiTConfig(**fields))


def test_latents_that_fit_are_opened(latents):
    opened = open_latents(run(latents))
    assert len(opened.train) == len(opened.held_out) == 3


def test_latents_of_another_kind_are_refused_with_every_field(latents):
    wrong = run(latents, channels=16, extra_channels=8)
    wrong = dataclasses.replace(wrong, text=TextConfig(vocabulary=100))
    fields = ("dit.channels", "dit.extra_channels", "text.vocab")
    with pytest.raises(ValueError, match="(?s)" + ".*".join(fields)):
        open_latents(wrong)


def test_a_patch_that_cuts_latents_badly_is_refused(latents):
    with pytest.raises(ValueError, match=r"dit.patch\[1:\] must divide.*\(3, 2\)"):
        open_latents(run(latents, patch=(1, 3, 2)))


def test_a_run_is_tied_to_its_latents(latents):
    before = open_latents(run(latents)).hashes
    loop.refuse_other_sources("run", before, before)
    (latents / "vae.safetensors").write_bytes(b"another")
    now = open_latents(run(latents)).hashes
    with pytest.raises(ValueError, match="'run' was trained on another VAE: "):
        loop.refuse_other_sources("run", before, now)


def test_latents_half_encoded_are_refused(latents):
    encoded = EncodeRun(data=PlaygroundConfig(length=9), held_out_clips=3)
    keep_config(latents, to_json(encoded))
    with pytest.raises(ValueError, match="3 of 9 training clips.*continues"):
        open_latents(run(latents))


def test_a_refused_first_try_leaves_nothing(tmp_path):
    config = DiTRun(latents=str(tmp_path / "missing"))

    def make_job(mesh):
        open_latents(config)

    with pytest.raises(ValueError, match="holds no encoded clips"):
        loop.train(config, str(tmp_path / "run"), make_job)
    assert not (tmp_path / "run").exists()


class Scale(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones(2), axes=(None,))


def scale_job(evaluate):
    optimization = Optimization(transform=optax.sgd(0.1), ema_decay=0.9)

    def make_job(mesh):
        numbers = grain.MapDataset.range(9).map(lambda i: np.full(2, i, np.float32))
        return loop.Job(
            blueprint=plan_state(lambda key: Scale(), optimization, 0, mesh),
            loss=lambda params, batch, key, step: (jnp.sum(params["w"] * batch), {}),
            optimization=optimization,
            data=lambda: iter(numbers.to_iter_dataset()),
            evaluate=evaluate,
            work={"clips": 1.0, "FLOP": 1.0},
        )

    return make_job


def test_a_save_comes_before_its_evaluation_which_is_made_up_for(tmp_path):
    config = VAERun(steps=2, checkpoint_every=2, eval_every=2)
    evaluated = []

    def fail(state):
        raise RuntimeError("killed here")

    def evaluate(state):
        evaluated.append(int(state.step))
        return {"loss": 0.0}, {}

    with pytest.raises(RuntimeError, match="killed here"):
        loop.train(config, str(tmp_path), scale_job(fail))
    for _ in range(2):
        state = loop.train(config, str(tmp_path), scale_job(evaluate))
        assert int(state.step) == 2
    assert evaluated == [2]


def test_a_vae_of_another_size_is_no_start(tmp_path):
    published.save_vae(tmp_path, VAE(TINY, rngs=nnx.Rngs(0)))
    start = VAERun(vae=TINY, start_from=str(tmp_path))
    assert vae.load_start(start).config == TINY
    # The past of a clip has no parameters.
    zeros = dataclasses.replace(TINY, history="zeros")
    vae.load_start(dataclasses.replace(start, vae=zeros))
    other = dataclasses.replace(TINY, channels=8, encoder_width=8)
    fields = "(?s)vae.channels must be 4 .*got 8.*vae.encoder_width must be 4"
    with pytest.raises(ValueError, match=fields):
        vae.load_start(dataclasses.replace(start, vae=other))


def test_clips_that_the_vae_cannot_divide_are_refused():
    data = PlaygroundConfig(frames=((9, 1.0),), sizes=(((60, 60), 1.0),))
    with pytest.raises(ValueError, match="data.sizes must be multiples of 8"):
        encode.check_clips(data, TINY)


def test_other_clips_than_those_of_the_run_are_not_published(latents):
    before = open_latents(run(latents)).hashes
    publish.refuse_other_clips(str(latents), before)
    (latents / "vae.safetensors").write_bytes(b"another")
    with pytest.raises(ValueError, match="trained on another VAE than"):
        publish.refuse_other_clips(str(latents), before)


def test_only_a_vae_with_the_same_latents_is_published_with_a_dit(tmp_path):
    own = VAE(TINY, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(own)
    for part, is_same in (("decoder", True), ("encoder", False)):
        other = jax.tree.map(lambda x: x, nnx.to_pure_dict(params))
        other[part] = jax.tree.map(lambda x: x + 1, other[part])
        other["latent_mean"] = other["latent_mean"] + 1  # of other clips
        published.save_vae(tmp_path / part, nnx.merge(graphdef, other))
        if is_same:
            found = publish.same_latents(str(tmp_path / part), own)
            got = published.parameters(found)
            assert (got["latent_mean"] == own.latent_mean[...]).all()
            jax.tree.map(
                np.testing.assert_array_equal, got["decoder"], other["decoder"]
            )
            continue
        with pytest.raises(ValueError, match="makes other latents"):
            publish.same_latents(str(tmp_path / part), own)


def test_a_damaged_line_is_an_evaluation_to_be_made_again(tmp_path):
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)
        for step in (1, 2):
            report.evaluation(step, {"loss": 0.0}, {})
    lines = tmp_path / "evaluations.jsonl"
    lines.write_text(lines.read_text()[:-8])
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(3, {"FLOP": 1.0}, 1.0)
        assert report.has(1) and not report.has(2)
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)  # killed before its first checkpoint
        assert not report.has(1)


def test_other_hosts_than_the_first_say_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with Report(str(tmp_path / "run"), VAERun(steps=1)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)
        report.step(1, {"loss": 0.0})
        report.evaluation(1, {"loss": 0.0}, {})
    assert not (tmp_path / "run").exists()
    assert capfd.readouterr() == ("", "")


def test_a_batch_that_the_mesh_cannot_share_is_named(monkeypatch):
    mesh = sharding.make_mesh({"data": -1})
    with sharding.use(mesh, VAERun().rules):
        sharding.check_batch("batch", 3, mesh)
        monkeypatch.setitem(vars(mesh), "shape", {"data": 2, "fsdp": 2})
        monkeypatch.setattr(placing, "host_share", lambda mesh: (0, 1))
        with pytest.raises(ValueError, match="batch must be a multiple of .*got 7"):
            sharding.check_batch("batch", 7, mesh)


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
    found = sharding.like_parameters(state, placed, mesh)
    assert found["ema"]["up"]["kernel"].spec == P("fsdp", "tensor")
    assert found["opt_state"][1]["up"]["kernel"].spec == P("fsdp", "tensor")
    assert found["opt_state"][0].spec == P()
    assert found["opt_state"][2]["up"]["kernel"].spec == P()


def tiny_run(latents, **fields):
    dit = DiTConfig(
        channels=8,
        extra_channels=12,
        width=24,
        depth=1,
        heads=2,
        mlp=32,
        contexts=(("text", 24),),
    )
    text = TextConfig(width=24, depth=1, heads=1, mlp=32, vocabulary=300)
    packing = PackingConfig(tokens=16, rows=2, samples=2)
    fields = {"dit": dit, "text": text, "packing": packing, "steps": 2, **fields}
    return DiTRun(latents=str(latents), **fields)


def test_a_run_starts_from_the_averaged_networks_of_another(latents, tmp_path):
    first = tiny_run(latents)
    ended = loop.train(
        first, str(tmp_path / "first"), lambda mesh: dit.make_job(first, mesh)
    )
    second = tiny_run(latents, start_from=str(tmp_path / "first"), steps=9)
    mesh = sharding.make_mesh({"data": -1})
    with sharding.use(mesh, second.rules):
        begun = dit.make_job(second, mesh).blueprint.initial()
    jax.tree.map(np.testing.assert_array_equal, begun.params, ended.ema)
    jax.tree.map(np.testing.assert_array_equal, begun.ema, ended.ema)
    assert int(begun.step) == 0

    wider = dataclasses.replace(second, dit=dataclasses.replace(second.dit, mlp=48))
    with pytest.raises(ValueError, match="dit.mlp must be 32 to start from"):
        check_start(wider)
    opened = open_latents(first)
    (latents / "tokenizer.model").write_bytes(b"another")
    opened = dataclasses.replace(opened, hashes=source_hashes(latents))
    with pytest.raises(ValueError, match="trained on another tokenizer than"):
        load_start(second, opened)


def test_another_model_reads_for_a_dit_and_stays_as_it_is(latents, folder, tmp_path):
    theirs = published.load(folder)
    text = theirs.config.text
    plain = tiny_run(latents)
    model = dataclasses.replace(plain.dit, contexts=(("text", text.width),))
    vae_config = dataclasses.replace(theirs.config.vae, channels=8)
    published.save_vae(latents, make(VAE, vae_config))
    run = tiny_run(latents, dit=model, text=text, text_from=str(folder))
    ended = loop.train(run, str(tmp_path / "run"), lambda mesh: dit.make_job(run, mesh))
    assert set(ended.params) == set(ended.ema) == {"dit"}
    trained = load_trained(tmp_path / "run", "--run")
    before, after = (
        published.parameters(part)
        for part in (theirs.parts["text_encoder"], trained.text_encoder)
    )
    jax.tree.map(np.testing.assert_array_equal, before, after)
    out = tmp_path / "out"
    publish.publish(publish.Arguments(run=str(tmp_path / "run"), out=str(out)))
    assert published.load(out).tokenizer == theirs.tokenizer

    narrow = dataclasses.replace(text, mlp=text.mlp + 16)
    with pytest.raises(ValueError, match="text.mlp must be .* to read with"):
        open_latents(dataclasses.replace(run, text=narrow))


def test_a_run_starts_from_a_folder_of_weights(latents, folder):
    theirs = published.load(folder)
    config = theirs.config
    run = tiny_run(
        latents, dit=config.dit, text=config.text, start_from=str(folder), steps=9
    )
    check_start(run)
    published.save_vae(latents, theirs.parts["vae"])
    with pytest.raises(ValueError, match="encode the clips with its tokenizer"):
        load_start(run, open_latents(tiny_run(latents)))
    theirs.tokenizer.save(latents / "tokenizer.model")
    model = dataclasses.replace(tiny_run(latents).dit, contexts=config.dit.contexts)
    opened = open_latents(tiny_run(latents, text=config.text, dit=model))
    start = load_start(run, opened)
    other = make(VAE, config.vae, seed=1)
    published.save_vae(latents, other)
    with pytest.raises(ValueError, match="encode the clips with its VAE"):
        load_start(run, opened)
    for name in ("dit", "text_encoder"):
        expected = published.parameters(theirs.parts[name])
        jax.tree.map(np.testing.assert_array_equal, start[name], expected)
    shallow = dataclasses.replace(config.dit, depth=1)
    with pytest.raises(ValueError, match=r"dit.depth must be .* to start from"):
        check_start(dataclasses.replace(run, dit=shallow))
