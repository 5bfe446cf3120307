"""Run by `test_adapter_files.py` in a process of its own, with eight CPU devices.

Gives a text encoder factors on several meshes, and prints as JSON where the
factors lie and how far results are from one device's, merged and unmerged. All is in
float64, so that rounding hides nothing.
"""

import json
import sys

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402

from sora_jax import sharding  # noqa: E402
from sora_jax.config import RULES, AdapterConfig, TextConfig  # noqa: E402
from sora_jax.models.text_encoder import TextEncoder  # noqa: E402
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan  # noqa: E402
from sora_jax.weights import adapter_sums, adapters  # noqa: E402

CONFIG = AdapterConfig(targets=("layers/.*",), rank=4, alpha=8.0)
TEXT = TextConfig(
    vocabulary=64, width=16, depth=2, heads=4, head_dim=4, mlp=32, dtype="float64"
)


def drawn():
    """An encoder with factors; none of its parameters is zero."""
    module = adapters.attach(TextEncoder(TEXT, rngs=nnx.Rngs(0)), CONFIG, nnx.Rngs(1))
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape) / np.sqrt(x.shape[-1])), module
    )


def encode(module, mesh_plan=SINGLE_DEVICE):
    """States, and the gradient of a number that depends on all of them."""
    ids = jnp.asarray(np.random.default_rng(3).integers(2, 64, (8, 12)), jnp.int32)
    graphdef, state = nnx.split(module)

    @jax.jit
    def run(state, ids):
        def loss(state):
            states = nnx.merge(graphdef, state)(ids, mesh_plan)
            return jnp.sum(jnp.sin(states)), states

        return jax.value_and_grad(loss, has_aux=True)(state)

    (_, states), gradient = run(state, ids)
    factors = jax.tree.leaves(
        nnx.state(nnx.merge(graphdef, gradient), adapters.LoRAParam)
    )
    return [np.asarray(states), *map(np.asarray, factors)]


def distance(a, b):
    """The largest difference, relative to what is compared with."""
    return max(
        float(np.abs(x - y).max() / np.abs(y).max()) for x, y in zip(a, b, strict=True)
    )


def main(meshes):
    """Print a line for each mesh."""
    module = drawn()
    adapter = adapters.extract(module, CONFIG)
    base = adapters.detach(module)
    expected = encode(module)
    for shape in meshes:
        mesh_plan = MeshPlan(sharding.make_mesh(shape, heads=TEXT.heads), RULES)
        placed = sharding.parameter_shardings(base, mesh_plan)
        graphdef, state = nnx.split(base)
        pure = jax.tree.map(sharding.place, nnx.to_pure_dict(state), placed)
        model = adapters.insert(nnx.merge(graphdef, pure), adapter)
        lie = jax.tree.map(
            lambda x, where: x.sharding.is_equivalent_to(where, x.ndim),
            nnx.to_pure_dict(nnx.state(model)),
            sharding.parameter_shardings(model, mesh_plan),
        )
        merged = adapters.merge(model)
        whole = {"layers/up/kernel": np.ones(base.layers.up.kernel.shape)}
        change = adapter_sums.Change(factors=adapter.factors, whole=whole)
        changed = adapter_sums.apply(nnx.merge(graphdef, pure), change, merged=True)
        up, kernel = model.layers.up.lora_up[...], model.layers.up.kernel[...]
        found = {
            "mesh": shape,
            "unmerged": distance(encode(model, mesh_plan), expected),
            "merged": distance(encode(merged, mesh_plan)[:1], expected[:1]),
            "lie": bool(jax.tree.all(lie)),
            "stays": all(
                x.layers.up.kernel[...].sharding == kernel.sharding
                for x in (merged, changed)
            ),
            "devices": len(up.sharding.device_set),
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[2]))
