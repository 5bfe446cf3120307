"""Adapters beside the kernels: the same as merged, and swapped without compiling."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sora_jax.sampling.model import Model
from sora_jax.weights.adapter_paths import Lora
from sora_jax.weights.applied_adapters import with_adapters
from tests.helpers import lora_forms


def velocity(dit):
    graphdef, state = nnx.split(dit)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, dit.config.width)), jnp.float32)

    @jax.jit
    def run(state):
        block = nnx.merge(graphdef, state).blocks
        layer = jax.tree.map(lambda leaf: leaf[1], block)
        kv = layer.cross_attention.kv["text"](x)
        return layer.self_attention.qkv(x), kv, layer.down(jnp.sin(layer.up(x)))

    return run(state)


def test_beside_the_kernels_it_computes_the_same(wan, pairs, originals, tmp_path):
    path = str(lora_forms.write("comfyui", pairs, originals, tmp_path))
    merged, beside = (
        with_adapters(wan, [Lora(path, 0.5)], merged=merged).networks["dit"]
        for merged in (True, False)
    )
    held = wan.networks["dit"]
    assert beside.blocks.up.kernel[...] is held.blocks.up.kernel[...]
    for one, other in zip(velocity(merged), velocity(beside), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(velocity(held)[0] - velocity(beside)[0]).max() > 0.1


def test_other_adapters_of_the_same_ranks_run_what_was_compiled(
    wan, published, pairs, originals, tmp_path
):
    shapes = {name: published[f"{name}.weight"].shape for name in originals}
    other = lora_forms.drawn(shapes, seed=1)
    paths = []
    for form, each in (("musubi", pairs), ("lightx2v", other)):
        paths.append(str(lora_forms.write(form, each, originals, tmp_path)))
    loras = [Lora(paths[0], 0.5)], [Lora(paths[1])]
    found = [with_adapters(wan, lora, merged=False) for lora in loras]
    one, two = (nnx.split(weights.networks["dit"]) for weights in found)
    assert one[0] == two[0] and hash(one[0]) == hash(two[0])
    assert jax.tree.structure(one[1]) == jax.tree.structure(two[1])
    shapes = [jax.tree.map(jnp.shape, nnx.to_pure_dict(x)) for _, x in (one, two)]
    assert shapes[0] == shapes[1]
    # Merged, any adapter leaves the graph of the model alone.
    merged = with_adapters(found[0], loras[1]).networks["dit"]
    assert nnx.split(merged)[0] == nnx.split(wan.networks["dit"])[0]
    # Taking them away is exact.
    assert with_adapters(found[0], []) is wan


def test_a_swap_compiles_nothing(wan, published, pairs, originals, tmp_path, caplog):
    shapes = {name: published[f"{name}.weight"].shape for name in originals}
    other = lora_forms.drawn(shapes, seed=1)
    one = lora_forms.write("musubi", pairs, originals, tmp_path)
    two = lora_forms.write("lightx2v", other, originals, tmp_path)
    plain = Model(wan)
    first = plain.with_loras([f"{one}:0.5"])
    videos, compiled = [], []
    for loras in ([f"{one}:0.5"], [str(two)]):
        swapped = first.with_loras(loras)
        with jax.log_compiles():
            videos.append(swapped.generate("a red ball", steps=1))
        compiled.append([x for x in caplog.messages if "compiled_step" in x])
        caplog.clear()
    assert compiled[0] and not compiled[1]
    assert np.abs(videos[1] - videos[0]).max() > 1e-3
    back = first.with_loras().generate("a red ball", steps=1)
    np.testing.assert_array_equal(back, plain.generate("a red ball", steps=1))
