from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.weights import safetensors_io, tensor_checks
from sora_jax.weights.tensor_checks import is_finite


def params() -> dict:
    keys = jax.random.split(jax.random.key(0), 2)
    return {
        "blocks": {0: {"kernel": jax.random.normal(keys[0], (4, 6))}, 1: {}},
        "scale": jnp.float32(1 / 3),
        "table": jax.random.normal(keys[1], (3, 0, 2)),
        "count": jnp.arange(5),
    }


def abstract(tree: dict, dtype=None) -> dict:
    def shape_of(x):
        floating = dtype and jnp.issubdtype(x.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(x.shape, dtype if floating else x.dtype)

    return jax.tree.map(shape_of, tree)


@pytest.mark.parametrize("stored", ["bfloat16", "float32", None])
@pytest.mark.parametrize("wanted", [jnp.float32, jnp.bfloat16])
def test_round_trip(tmp_path, stored, wanted):
    path = tmp_path / "new" / "dit.safetensors"
    safetensors_io.save_tensors(path, params(), dtype=stored)
    loaded = safetensors_io.load_tensors(path, abstract(params(), wanted))

    def expected(x):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return x.astype(stored or x.dtype).astype(wanted)

    assert jax.tree.structure(loaded) == jax.tree.structure(params())
    for a, b in zip(
        jax.tree.leaves(loaded),
        jax.tree.leaves(jax.tree.map(expected, params())),
        strict=True,
    ):
        assert isinstance(a, jax.Array) and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in path.parent.iterdir()] == ["dit.safetensors"]


def test_transposed_views_are_stored_right(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    safetensors_io.save_tensors(tmp_path / "a.safetensors", {"x": array})
    loaded = safetensors_io.load_tensors(
        tmp_path / "a.safetensors", abstract({"x": array})
    )
    np.testing.assert_array_equal(loaded["x"], array)


def test_same_weights_same_bytes(tmp_path):
    for name in ("a", "b"):
        safetensors_io.save_tensors(tmp_path / f"{name}.safetensors", params())
    hashes = {
        safetensors_io.file_hash(tmp_path / f"{name}.safetensors") for name in "ab"
    }
    data = (tmp_path / "a.safetensors").read_bytes()
    assert hashes == {hashlib.sha256(data).hexdigest()[:16]}


def test_all_that_does_not_fit_in_one_error(tmp_path):
    path = tmp_path / "a.safetensors"
    many = {f"extra{i:02}": jnp.zeros(1) for i in range(25)}
    safetensors_io.save_tensors(path, {**params(), **many})
    wanted = abstract(params())
    wanted["blocks"][0]["kernel"] = jax.ShapeDtypeStruct((6, 4), jnp.float32)
    wanted["blocks"][0]["bias"] = jax.ShapeDtypeStruct((6,), jnp.float32)
    with pytest.raises(ValueError, match="do not fit the model.*config.json") as error:
        safetensors_io.load_tensors(path, wanted)
    message = str(error.value)
    assert "missing:\n    blocks/0/bias\n" in message
    assert "unexpected:\n    extra00\n" in message and "and 5 more" in message
    assert "blocks/0/kernel: [4, 6] in the file, [6, 4] wanted" in message


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors_io.save_tensors(path, params())
    data = path.read_bytes()
    for length in (0, 5, 30, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="damaged or cut short .*again"):
            safetensors_io.load_tensors(path, abstract(params()))
    for name in ("model.pth", "model.bin"):
        with pytest.raises(ValueError, match=f"{name}' may be a pickle.*convert"):
            safetensors_io.load_tensors(tmp_path / name, {})
    with pytest.raises(ValueError, match=r"must be a \.safetensors file"):
        safetensors_io.save_tensors(tmp_path / "model.npz", {})
    with pytest.raises(ValueError, match="do not exist; check"):
        safetensors_io.load_tensors(tmp_path / "b.safetensors", {})
    with pytest.raises(ValueError, match="'a/b' must not contain '/'"):
        safetensors_io.save_tensors(path, {"a/b": np.zeros(1)})


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_what_is_no_number_is_found_wherever_it_is(kind):
    dtype = jnp.dtype(kind)
    array = np.zeros(3 * tensor_checks._BLOCK + 5, dtype)
    array[:3] = jnp.finfo(dtype).max, jnp.finfo(dtype).min, -0.0
    assert is_finite(array) and is_finite(array[:0])
    for index in (0, tensor_checks._BLOCK, -1):
        for value in (np.nan, np.inf, -np.inf):
            damaged = array.copy()
            damaged[index] = value
            assert not is_finite(damaged)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_hold_no_numbers_are_refused_by_name(tmp_path, value):
    tree = {"a": {"b": np.full(3, value, np.float32)}, "c": np.zeros(2, np.float32)}
    safetensors_io.save_tensors(tmp_path / "a.safetensors", tree)
    with pytest.raises(ValueError, match="(?s)NaN or infinity.*again:.*a/b$"):
        safetensors_io.load_tensors(tmp_path / "a.safetensors", abstract(tree))


def test_numbers_of_another_kind_are_refused_by_name(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors_io.save_tensors(path, {"a": np.zeros(2, np.int32), "b": np.zeros(2)})
    wanted = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.int32)}
    with pytest.raises(ValueError, match="(?s)another type.*a: I32.*b: BF16 in the"):
        safetensors_io.load_tensors(path, abstract(wanted))
