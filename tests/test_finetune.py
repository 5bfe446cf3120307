"""Fine-tuning: from a folder of clips to an adapter, or to weights, for sampling."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

import sora_jax
from sora_jax.commands.train import train
from sora_jax.config import AdapterConfig, ClipsConfig, FineTune
from sora_jax.data import outputs
from sora_jax.sampling import preview
from sora_jax.training import finetune
from sora_jax.weights import (
    adapter_files,
    adapters,
    bundle,
    folders,
    peft_files,
    workdirs,
)
from sora_jax.weights.export import export
from sora_jax.weights.modules import parameters
from tests.helpers import tiny_wan
from tests.helpers.clips import smooth_clip

PROMPT = "a red ball moves right"
SAMPLE = {"steps": 2, "size": (32, 32), "frames": 5, "seed": 0}
LORA = AdapterConfig(rank=2, alpha=4.0, targets=("blocks/.*",))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three clips with captions, of which one has none."""
    path = tmp_path_factory.mktemp("clips")
    for number in range(4):
        outputs.write(path / f"clip{number}.mp4", [smooth_clip(9, 32, 48)], 8)
        if number:
            (path / f"clip{number}.txt").write_text(f"waves of kind {number}\n")
    return path


@pytest.fixture(scope="module")
def config(clips, folder):
    return FineTune(
        data=str(clips),
        start_from=str(folder),
        lora=LORA,
        steps=2,
        batch=2,
        frames=5,
        pixels=32 * 32,
        draws=2,
        eval_every=2,
        checkpoint_every=1,
    )


@pytest.fixture(scope="module")
def tuned(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("tuned")
    train(config, str(path))
    return path


@pytest.mark.slow
def test_an_adapter_is_trained_alone_and_changes_videos(config, tuned, folder):
    path = tuned / "adapter.safetensors"
    described, base = adapter_files.read_description(path)
    assert described == LORA and base.digest == folders.digest(str(folder))
    ended = workdirs.load_trained(tuned / finetune.DIT, "workdir")
    learned = adapters.extract(ended.networks["dit"], LORA)
    assert all(np.any(each.up) for each in learned.factors.values())
    before = bundle.load(folder).networks["dit"]
    kernel = adapters.linears(before)["blocks/up"].kernel[...]
    after = adapters.linears(ended.networks["dit"])["blocks/up"].kernel[...]
    np.testing.assert_array_equal(np.asarray(after), np.asarray(kernel))

    plain = sora_jax.load(folder).generate([PROMPT], **SAMPLE)
    changed = sora_jax.load(folder, loras=[str(path)]).generate([PROMPT], **SAMPLE)
    hardly = sora_jax.load(folder, loras=[f"{path}:1e-6"]).generate([PROMPT], **SAMPLE)
    assert np.abs(changed - plain).max() > 1e-5
    np.testing.assert_allclose(hardly, plain, atol=1e-4)


@pytest.mark.slow
def test_prompts_are_captions_of_the_clips_at_their_size(config, tuned, latents):
    found = preview.default_prompts(str(tuned / finetune.LATENTS))
    assert found and all(text.startswith("waves of kind") for text in found)
    assert preview.default_prompts(str(latents)) == preview.PROMPTS
    sizes = {32 * 32: (32, 32), 44 * 44: (48, 48), 300: (16, 16), 90 * 90: (96, 96)}
    for pixels, size in sizes.items():
        clips = ClipsConfig(path="clips", pixels=pixels, multiple=16)
        assert finetune.prompt_size(clips) == size


def test_fields_of_a_dataset_and_small_shards_are_handed_on(config, tmp_path):
    asked = dataclasses.replace(config, fields=("movie", "text"))
    runs = finetune.stages(asked, tmp_path)
    assert runs.encode.data.fields == ("movie", "text") and runs.encode.shard == 64


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pixels": 100}, "^pixels must be >= 256, got 100"),
        ({"fps": -1.0}, "^fps must be 0 .*got -1"),
        ({"fps": 1e-9}, "^fps must be 0 .*got 1e-09"),
        ({"method": "full", "peft": True}, "^peft must be False unless"),
        ({"frames": 6}, r"^frames must be 1 \+ 4k"),
    ],
)
def test_fields_are_refused_by_their_own_names(config, change, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        finetune.stages(dataclasses.replace(config, **change), tmp_path)


@pytest.mark.slow
def test_the_same_command_goes_on(config, tuned):
    adapter = tuned / "adapter.safetensors"
    before = safetensors.numpy.load_file(adapter)
    train(config, str(tuned))
    after = safetensors.numpy.load_file(adapter)
    assert after.keys() == before.keys()
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.slow
def test_an_adapter_in_pefts_form_makes_the_same_video(tuned, folder, tmp_path):
    path = tuned / "adapter.safetensors"
    dit = bundle.load(folder).networks["dit"]
    peft_files.save_adapter(tmp_path, adapter_files.load_adapter(path, dit, None), dit)
    one = sora_jax.load(folder, loras=[str(path)]).generate([PROMPT], **SAMPLE)
    other = sora_jax.load(folder, loras=[str(tmp_path)]).generate([PROMPT], **SAMPLE)
    np.testing.assert_allclose(other, one, atol=1e-5)


@pytest.mark.slow
def test_an_adapter_of_other_weights_is_refused(tuned, weights, tmp_path):
    dit = adapters.copy_model(weights.networks["dit"])
    graphdef, params = nnx.split(dit)
    other = nnx.merge(graphdef, nnx.map_state(lambda path, x: x, params))
    other.embed.kernel.set_value(jnp.zeros_like(other.embed.kernel[...]))
    loaders = {**weights.networks.loaders, "dit": lambda: other}
    networks = type(weights.networks)(loaders)
    bundle.save(tmp_path, dataclasses.replace(weights, networks=networks))
    with pytest.raises(ValueError, match="belongs to the dit of"):
        sora_jax.load(tmp_path, loras=[str(tuned / "adapter.safetensors")])


@pytest.mark.slow
def test_full_fine_tuning_writes_weights(config, folder, tmp_path):
    train(dataclasses.replace(config, method="full", steps=1), str(tmp_path))
    video = sora_jax.load(tmp_path / "weights").generate([PROMPT], **SAMPLE)
    assert video.shape == (1, 5, 32, 32, 3)
    described = folders.describe(tmp_path / "weights")
    assert described.dit == folders.describe(folder).dit
    assert not described.seen.words
    start, ended = (folders.load_weights(x) for x in (folder, tmp_path / "weights"))
    for name in ("vae", "text_encoder"):
        one, other = (rounded(weights.networks[name]) for weights in (start, ended))
        jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def wan(tiny, tmp_path_factory):
    """A Wan model with one transformer, in diffusers' layout."""
    path = tmp_path_factory.mktemp("wan") / "tiny"
    export(str(path), tiny_wan.one_expert(tiny))
    return path


@pytest.mark.slow
def test_a_wan_folder_is_tuned_and_its_adapter_goes_through_pefts_form(
    config, wan, tmp_path
):
    run = dataclasses.replace(
        config, start_from=str(wan), steps=1, prompts=(PROMPT,), peft=True
    )
    train(run, str(tmp_path))
    path = tmp_path / "adapter.safetensors"
    learned = adapter_files.load_adapter(path, folders.load_network(wan, "dit"), None)
    assert all(np.any(each.up) for each in learned.factors.values())
    names = safetensors.numpy.load_file(tmp_path / "peft/adapter_model.safetensors")
    assert "base_model.model.blocks.0.attn1.to_q.lora_A.weight" in names
    for_diffusers = tmp_path / "peft/pytorch_lora_weights.safetensors"
    names = safetensors.numpy.load_file(for_diffusers)
    assert "transformer.blocks.0.attn1.to_q.lora_A.weight" in names
    plain, one, *others = (
        sora_jax.load(wan, loras=loras).generate([PROMPT], **SAMPLE)
        for loras in ([], [str(path)], [str(tmp_path / "peft")], [str(for_diffusers)])
    )
    assert np.abs(one - plain).max() > 1e-6
    for other in others:
        np.testing.assert_allclose(other, one, atol=1e-5)


def rounded(network):
    return jax.tree.map(lambda x: np.asarray(x, jnp.bfloat16), parameters(network))


def test_a_model_of_two_experts_is_refused(config, exported, tmp_path):
    run = dataclasses.replace(config, start_from=str(exported))
    with pytest.raises(ValueError, match="start_from .*tiny.* has two transformers"):
        train(run, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_is_missing_is_said_before_any_work(config, tmp_path):
    with pytest.raises(ValueError, match="data is missing"):
        train(dataclasses.replace(config, data=""), str(tmp_path / "a"))
    empty = tmp_path / "clips"
    empty.mkdir()
    with pytest.raises(ValueError, match="data.path .*no"):
        train(dataclasses.replace(config, data=str(empty)), str(tmp_path / "b"))


@pytest.mark.parametrize("scale", ["0", "-1", "1e9", "nan"])
@pytest.mark.slow
def test_a_scale_must_be_a_sensible_number(tuned, folder, scale):
    with pytest.raises(ValueError, match="loras PATH:SCALE must"):
        sora_jax.load(folder, loras=[f"{tuned}/adapter.safetensors:{scale}"])
