"""Networks in files of their own are found, and are the same as in a folder."""

import jax.numpy as jnp
import numpy as np
import pytest

import sora_jax
from sora_jax.weights import folders
from sora_jax.weights.modules import flatten, parameters
from tests.helpers.single_files import (
    model_of,
    models_of_pictures,
    scaled,
    tensors_of,
    write,
)


@pytest.fixture(scope="module")
def toys(tiny):
    return model_of(tiny)


@pytest.fixture
def models(toys, tmp_path):
    """ComfyUI's folders, with the tokenizer inside of the text encoder's file."""
    dit = tensors_of(toys, "dit", prefix="model.diffusion_model.")
    write(tmp_path / "diffusion_models" / "toy.safetensors", dit)
    write(tmp_path / "vae" / "vae.safetensors", tensors_of(toys, "vae"))
    text = tensors_of(toys, "text_encoder", "diffusers")
    model = np.frombuffer(toys.tokenizer.model, np.uint8)
    write(tmp_path / "text_encoders" / "t5.safetensors", text | {"spiece_model": model})
    return tmp_path


def toy(models):
    return models / "diffusion_models" / "toy.safetensors"


def assert_same(place, weights, networks=("vae", "dit", "text_encoder")):
    found = folders.load_weights(place)
    for name in networks:
        ours = flatten(parameters(weights.networks[name]))
        theirs = flatten(parameters(found.networks[name]))
        assert ours.keys() == theirs.keys()
        for path, value in ours.items():
            if not path.startswith("latent_"):  # known of the published VAE
                np.testing.assert_array_equal(theirs[path], value, path)
    return found


def test_networks_are_found_beside_a_transformer(models, toys):
    found = assert_same(toy(models), toys)
    assert found.tokenizer.model == toys.tokenizer.model
    assert found.config.name == "toy"
    assert found.config.dit == toys.config.dit


def test_one_file_may_hold_all(toys, tmp_path):
    tensors = {
        **tensors_of(toys, "dit", prefix="model.diffusion_model."),
        **tensors_of(toys, "vae", prefix="vae."),
        **tensors_of(toys, "text_encoder", "diffusers", "text_encoders.t5."),
    }
    model = np.frombuffer(toys.tokenizer.model, np.uint8)
    tensors["text_encoders.spiece_model"] = model
    assert_same(write(tmp_path / "all.safetensors", tensors), toys)


def test_an_average_is_taken_of_a_training_checkpoint(models, toys):
    last = tensors_of(toys, "dit", prefix="generator.model.")
    averaged = tensors_of(toys, "dit", prefix="generator_ema.model.")
    zeros = {name: np.zeros_like(tensor) for name, tensor in last.items()}
    write(toy(models), zeros | averaged)
    assert_same(toy(models), toys, ["dit"])


def test_two_transformers_of_one_model(models, toys):
    low = write(models / "low.safetensors", tensors_of(toys, "dit", "diffusers"))
    place = sora_jax.WeightsFiles(base=toy(models), transformer_low=low)
    found = assert_same(place, toys)
    assert found.config.boundary == 0.875
    np.testing.assert_array_equal(
        found.networks["dit_low"].head.kernel[...],
        toys.networks["dit"].head.kernel[...],
    )


def test_files_replace_networks_of_a_folder(exported, toys, tmp_path):
    vae = tensors_of(toys, "vae")
    doubled = write(tmp_path / "vae.safetensors", {n: 2 * x for n, x in vae.items()})
    place = sora_jax.WeightsFiles(base=exported, vae=doubled)
    made = flatten(parameters(folders.load_network(place, "vae")))
    kept = flatten(parameters(folders.load_network(exported, "vae")))
    assert folders.digest(place) != folders.digest(exported)
    for path, value in kept.items():
        factor = 1 if path.startswith("latent_") else 2
        np.testing.assert_array_equal(made[path], factor * value, path)


@pytest.mark.parametrize(
    ("rows", "suffix"), [(False, "scale_weight"), (True, "weight_scale")]
)
def test_scaled_float8_is_multiplied_out(models, toys, rows, suffix):
    plain = tensors_of(toys, "dit")
    small = scaled(plain, rows, suffix)
    write(toy(models), small)
    kernel = folders.load_network(toy(models), "dit").blocks.up.kernel[...]
    assert kernel.dtype == jnp.bfloat16
    for layer in range(2):
        name = f"blocks.{layer}.ffn.0"
        values = small[f"{name}.weight"].astype(np.float32) * small[f"{name}.{suffix}"]
        np.testing.assert_array_equal(kernel[layer], values.T.astype(jnp.bfloat16))
        np.testing.assert_allclose(values, plain[f"{name}.weight"], atol=0.03)


def test_what_is_missing_is_named_with_its_flag(models):
    (models / "vae" / "vae.safetensors").unlink()
    write(models / "vae" / "other.safetensors", {"x": np.zeros(1, np.float32)})
    text = models / "text_encoders" / "t5.safetensors"
    (models / "text_encoders" / "again.safetensors").write_bytes(text.read_bytes())
    with pytest.raises(ValueError, match=r"(?s)--vae FILE.*several.*--text-encoder"):
        folders.describe(toy(models))


def test_other_kinds_of_weights_take_no_files(folder, models):
    place = sora_jax.WeightsFiles(base=folder, vae=models / "vae" / "vae.safetensors")
    with pytest.raises(ValueError, match="leave out the files"):
        folders.describe(place)


def test_pictures_are_read_through_a_tower_found_beside(tiny, models):
    i2v = models_of_pictures(tiny)
    tower = tensors_of(i2v, "picture_encoder", "diffusers", "vision_model.")
    write(models / "clip_vision" / "clip.safetensors", tower)
    write(toy(models), tensors_of(i2v, "dit"))
    found = assert_same(toy(models), i2v, ["dit", "picture_encoder"])
    assert found.config.dit == i2v.config.dit and found.config.keyframes == ((0, -1),)


def test_networks_of_other_programs_beside_it_do_not_count(models, toys):
    small = np.zeros((3, 8, 3, 3), np.float32)
    write(models / "vae" / "sd.safetensors", {"decoder.conv_out.weight": small})
    # T5's later layers have no positions of their own.
    t5 = tensors_of(toys, "text_encoder", "diffusers")
    later = {n.replace("block.0", "block.9"): x for n, x in t5.items()}
    later = {n: x for n, x in later.items() if "relative" not in n}
    write(models / "text_encoders" / "t5xxl.safetensors", t5 | later)
    assert_same(toy(models), toys)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("ffn.0.scale_weight", np.ones((), np.uint8)),
        ("ffn.0.weight_scale", np.ones((), np.float32)),  # a second one
    ],
)
def test_scales_that_are_none_are_refused(models, toys, name, scale):
    small = scaled(tensors_of(toys, "dit"))
    small[f"blocks.0.{name}"] = scale
    write(toy(models), small)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        folders.describe(toy(models))


def test_a_tokenizer_that_is_none_is_named(models, toys):
    text = tensors_of(toys, "text_encoder", "diffusers")
    for size, told in ((9, "not a SentencePiece model"), (2**27, "bytes in .* more")):
        path = models / "text_encoders" / "t5.safetensors"
        write(path, text | {"spiece_model": np.zeros(size, np.uint8)})
        with pytest.raises(ValueError, match=told):
            folders.describe(toy(models))
            folders.load_tokenizer(toy(models))


def test_a_network_that_a_model_lacks_is_refused(models, exported):
    tower = {"visual.cls_embedding": np.zeros((1, 1, 8), np.float32)}
    file = write(models / "clip.safetensors", tower)
    for base in (toy(models), exported):
        place = sora_jax.WeightsFiles(base=base, picture_encoder=file)
        with pytest.raises(ValueError, match="picture_encoder: .* has none"):
            folders.describe(place)


def test_scales_in_blocks_are_refused(models, toys):
    small = scaled(tensors_of(toys, "dit"))
    small["blocks.0.ffn.0.scale_weight"] = np.ones((2, 2), np.float32)
    write(toy(models), small)
    with pytest.raises(ValueError, match=r"ffn\.0\.scale_weight"):
        folders.describe(toy(models))
