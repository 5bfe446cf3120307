"""Compiles a step of training Wan's 1.3B for TPUs that are not here, and prints it.

In a process of its own: the type checks of the tests know no abstract arguments.
"""

import dataclasses

from sora_jax import cli, compiling, sharding
from sora_jax.plan import __main__ as _  # noqa: F401  (looks for no TPU)
from sora_jax.plan import chips, programs


def main() -> None:
    """Three layers; numbers of tokens are like no width, so that they can be told."""
    run = cli.load_config("configs/wan_train.py:1b3")
    text = dataclasses.replace(run.text, depth=1, width=256, mlp=512, heads=4)
    run = dataclasses.replace(
        run,
        dit=dataclasses.replace(run.dit, depth=3, contexts=(("text", text.width),)),
        text=text,
        packing=dataclasses.replace(run.packing, tokens=11_776, rows=2),
        mesh=dataclasses.replace(run.mesh, fsdp=2, context=4),
    )
    machine = chips.machine("v6e:2x4")
    shape = dataclasses.asdict(run.mesh)
    mesh = sharding.make_mesh(shape, machine.devices, run.heads)
    lowered = programs.lower_train_step(run, sharding.MeshPlan(mesh, run.rules))
    options = compiling.options("tpu")
    print(lowered.compile(compiler_options=options).as_text())


if __name__ == "__main__":
    main()
