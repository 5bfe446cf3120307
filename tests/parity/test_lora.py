"""Adapters make the same videos here and in diffusers, whoever wrote them."""

import warnings

import numpy as np
import pytest
import safetensors.numpy
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from sora_jax.config import AdapterConfig
from sora_jax.sampling.opening import load
from sora_jax.weights import adapters, folders, peft_files
from sora_jax.weights.adapter_paths import DIFFUSERS
from tests.helpers import lora_forms
from tests.parity import reference
from tests.parity.reference import ASKED, PROMPT, noise_of, psnr, theirs_of

MAPS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


def saved(kind, tokenizer, path):
    reference.pipeline(kind, tokenizer).save_pretrained(path)
    return reference.with_sentencepiece(path, tokenizer)


@pytest.fixture(scope="module")
def wan(tokenizer, tmp_path_factory):
    return saved("t2v", tokenizer, tmp_path_factory.mktemp("t2v"))


@pytest.fixture(scope="module")
def plain(wan):
    return load(wan)


@pytest.fixture
def pipeline(wan):
    return reference.WanPipeline.from_pretrained(wan)


@pytest.fixture(scope="module")
def plain_video(plain):
    return video_of(plain)


def video_of(model, **options):
    noise = noise_of(model, ASKED["frames"], ASKED["size"])
    return (model.generate(PROMPT, init_noise=noise, **ASKED, **options) + 1) / 2


def assert_same_video(model, pipeline, plain_video, ours=None, theirs=None):
    """Both agree, and differ from the video without adapters."""
    noise = noise_of(model, ASKED["frames"], ASKED["size"])
    made = video_of(model, **(ours or {}))
    assert psnr(made, theirs_of(pipeline, noise, **(theirs or {}))) > 50
    assert psnr(made, plain_video) < 40


def written_by(pipeline, folder):
    """A file that diffusers writes itself, of another alpha than its rank."""
    transformer = pipeline.transformer
    config = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, target_modules=MAPS)
    transformer.add_adapter(config)
    reference.WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        **_collate_lora_metadata({"transformer": transformer}),
    )
    transformer.delete_adapters("default")
    return folder / DIFFUSERS


def written_as(form, model, folder, seed=0):
    """A file as another program writes it."""
    originals = lora_forms.modules(model.config.dit)
    table = model.weights.family.tables(model.config, "dit")[0]
    shapes = dict.fromkeys(originals)
    kernels = adapters.linears(model.weights.networks["dit"])
    for entry in table:
        name = entry.name.removesuffix(".weight")
        if name in shapes:
            kernel = kernels[entry.path.removesuffix("/kernel")].kernel
            shapes[name] = entry.file_shape(kernel.shape)
    pairs = lora_forms.drawn(shapes, seed=seed)
    return lora_forms.write(form, pairs, originals, folder)


def test_a_file_of_diffusers(wan, plain, pipeline, plain_video, tmp_path):
    path = written_by(pipeline, tmp_path)
    pipeline.load_lora_weights(tmp_path, adapter_name="a")
    pipeline.set_adapters(["a"], [0.5])
    assert_same_video(load(wan, loras=[f"{path}:0.5"]), pipeline, plain_video)
    # Beside the kernels, as there.
    assert_same_video(plain.with_loras([f"{path}:0.5"]), pipeline, plain_video)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
@pytest.mark.parametrize("form", ["comfyui", "lightx2v", "musubi"])
def test_files_of_other_programs(form, wan, plain, pipeline, plain_video, tmp_path):
    paths = []
    for seed, scale in enumerate((0.25, 0.125)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = written_as(form, plain, folder, seed)
        paths.append(f"{path}:{scale}")
        pipeline.load_lora_weights(
            folder, weight_name=path.name, adapter_name=str(seed)
        )
    pipeline.set_adapters(["0", "1"], [0.25, 0.125])
    assert_same_video(load(wan, loras=paths), pipeline, plain_video)


def test_changes_of_biases(wan, plain, pipeline, plain_video, tmp_path):
    path = written_as("lightx2v", plain, tmp_path)
    tensors = safetensors.numpy.load_file(path)
    rng = np.random.default_rng(0)
    for name, value in list(tensors.items()):
        if name.endswith("lora_up.weight"):
            bias = np.float32(0.3 * rng.normal(size=len(value)))
            tensors[name.replace("lora_up.weight", "diff_b")] = bias
    safetensors.numpy.save_file(tensors, path)
    pipeline.load_lora_weights(
        tmp_path, weight_name=path.name, adapter_name="a", low_cpu_mem_usage=False
    )
    pipeline.set_adapters(["a"], [0.25])
    assert_same_video(load(wan, loras=[f"{path}:0.25"]), pipeline, plain_video)


def test_a_file_for_each_of_two_transformers(tokenizer, tmp_path):
    wan = saved("a14b", tokenizer, tmp_path / "wan")
    pipeline, plain = reference.WanPipeline.from_pretrained(wan), load(wan)
    paths = {}
    for seed, called in enumerate(("high", "low")):
        folder = tmp_path / called
        folder.mkdir()
        paths[called] = written_as("lightx2v", plain, folder, seed)
        pipeline.load_lora_weights(
            folder,
            weight_name=paths[called].name,
            adapter_name=called,
            load_into_transformer_2=called == "low",
        )
    pipeline.transformer.set_adapters(["high"], [0.25])
    pipeline.transformer_2.set_adapters(["low"], [0.25])
    model = load(wan, loras=[f"{called}:{path}:0.25" for called, path in paths.items()])
    low = {"guidance_low": 3.0}
    there = {"guidance_scale_2": 3.0}
    assert_same_video(model, pipeline, video_of(plain, **low), low, there)


@pytest.mark.parametrize("targets", [("blocks/.*",), ("blocks/.*", "head", "embed")])
def test_our_files_make_the_same_video_there(
    targets, wan, plain, pipeline, plain_video, tmp_path
):
    dit = folders.load_network(wan, "dit")
    config = AdapterConfig(rank=3, alpha=6.0, targets=targets)
    adapter = lora_forms.random_adapter(dit, config, size=0.1)
    table = plain.weights.family.tables(plain.config, "dit")[0]
    peft_files.save_for_diffusers(tmp_path / DIFFUSERS, adapter, dit, table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.load_lora_weights(tmp_path)
    assert_same_video(load(wan, loras=[str(tmp_path)]), pipeline, plain_video)
