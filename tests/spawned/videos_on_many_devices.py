"""Run by `test_meshes.py` in a process of its own, with eight devices on one CPU.

Makes a video from text and continues one, on several meshes, and prints as JSON how
far each is from that of one device. All is computed in float64, since rounding in
float32 is another one on each processor.
"""

import dataclasses
import json
import sys

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)

import numpy as np  # noqa: E402

from sora_jax import cli  # noqa: E402
from sora_jax.config import (  # noqa: E402
    AttentionPlan,
    MeshConfig,
    ModelConfig,
    SamplingConfig,
    VAEConfig,
)
from sora_jax.models.dit import DiT  # noqa: E402
from sora_jax.models.text_encoder import TextEncoder  # noqa: E402
from sora_jax.models.tokenizer import train_tokenizer  # noqa: E402
from sora_jax.models.vae import VAE  # noqa: E402
from sora_jax.sampling.model import Model  # noqa: E402
from sora_jax.sampling.opening import load  # noqa: E402
from sora_jax.weights import bundle  # noqa: E402
from sora_jax.weights.model_weights import weights_in_memory  # noqa: E402
from tests.helpers.tiny import make  # noqa: E402

PROMPT = "a red ball moves right"


def weights():
    """A tiny model whose attention is computed by a kernel."""
    run = cli.load_config(sys.argv[1])
    plan = AttentionPlan(kernel="xla", most_scores=100)
    sizes = {"width": 48, "heads": 4, "mlp": 64}
    dit = dataclasses.replace(run.dit, **sizes, attention=plan, dtype="float64")
    config = ModelConfig(
        name="tiny",
        vae=VAEConfig(
            channels=dit.channels, encoder_width=4, decoder_width=4, dtype="float64"
        ),
        dit=dit,
        text=dataclasses.replace(run.text, dtype="float64"),
        # 18 tokens, of which no mesh divides the first.
        sampling=SamplingConfig(steps=2, frames=5, size=(48, 48), guidance=2.0),
        fps=8.0,
        conditioning="channels",
    )
    return weights_in_memory(
        config,
        train_tokenizer([PROMPT] * 40, vocab_size=300),
        vae=make(VAE, config.vae),
        dit=make(DiT, config.dit),
        text_encoder=make(TextEncoder, config.text),
    )


def videos(model: Model) -> dict[str, np.ndarray]:
    """What a model makes of nothing, and of a clip."""
    made = model.generate(PROMPT, seed=1)[0]
    return {"made": made, "extended": model.extend(made, PROMPT, frames=4)}


def main() -> None:
    """Compare the meshes that are given as JSON with one device."""
    alone, folder = weights(), sys.argv[3]
    bundle.save(folder, alone, dtype="float32")
    expected = videos(Model(alone))
    for shape in json.loads(sys.argv[2]):
        found = videos(load(folder, MeshConfig(**shape)))
        errors = {
            name: float(np.abs(found[name] - video).max() / np.abs(video).max())
            for name, video in expected.items()
        }
        print(json.dumps({"mesh": shape, **errors}), flush=True)


if __name__ == "__main__":
    main()
