"""A model of the artists' animated characters from nothing: VAE, latents, DiT.

Hardware: 2 CPU cores to itself: 9, 13, 11 and 47 minutes.
Expected: reconstructions of held-out clips at 24.7 dB after images and 23.6 dB after
  clips; a held-out loss of 0.595 at step 500 of the DiT, 0.505 at 1,500, 0.464 at 3,000
  and 0.418 at 6,000. Backgrounds, faces, style and some tones are right, what a prompt
  names mostly not yet.
Command:
  sora-jax data build fluent_emoji --data_dir data
  python train.py --config=configs/fluent_emoji.py --workdir=runs
"""

import dataclasses

from sora_jax.config import (
    ClipsConfig,
    DiTConfig,
    DiTRun,
    EncodeRun,
    FlowConfig,
    OptimConfig,
    PackingConfig,
    Series,
    TextConfig,
    VAEConfig,
    VAERun,
)

# A whole cycle of three seconds; the first frame again closes the loop.
CLIPS = ClipsConfig(path="data/fluent_emoji", fps=8.0, frames=25, size=(64, 64))
VAE = VAERun(
    steps=1000,
    batch=16,
    window=48,
    vae=VAEConfig(time_shortcut="repeat"),
    data=dataclasses.replace(CLIPS, frames=1),
    optim=OptimConfig(name="muon", lr=1e-2, warmup=30, decay=0.4, ema_decay=0.99),
    eval_every=200,
    checkpoint_every=200,
)
RUNS = {
    "images": VAE,
    "vae": dataclasses.replace(
        VAE,
        steps=600,
        batch=4,
        start_from="runs/vae_images",
        data=dataclasses.replace(CLIPS, frames=17, least_frames=17),
        kl=2e-3,
        optim=OptimConfig(name="muon", lr=5e-3, warmup=30, decay=0.7, ema_decay=0.99),
    ),
    "encode": EncodeRun(
        vae="runs/vae",
        data=CLIPS,
        draws=3,
        conditioned=0.3,
        vocabulary=1600,
        held_out_clips=256,
    ),
    "dit": DiTRun(
        latents="runs/latents",
        steps=6_000,
        dit=DiTConfig(
            width=192,
            depth=6,
            heads=2,
            mlp=512,
            position_embedding=True,
            theta=100.0,
            unroll=6,
        ),
        text=TextConfig(vocabulary=1600, unroll=2),
        packing=PackingConfig(tokens=224, rows=8, samples=4),
        flow=FlowConfig(shift=3.0),
        optim=OptimConfig(name="muon", lr=5e-3, warmup=100, decay=0.5, ema_decay=0.998),
        cpu_matmul_dtype="bfloat16",
        eval_every=500,
        checkpoint_every=250,
        prompts=(
            "a woman astronaut with dark skin on a light blue background",
            "a man cook with light skin on a white background",
            "a cat face on a yellow background",
            "a rocket at night",
        ),
    ),
}


def get_config(name: str = "") -> Series | VAERun | EncodeRun | DiTRun:
    """Return the whole series, or one of its runs."""
    if not name:
        this = "configs/fluent_emoji.py"
        folders = {"images": "vae_images", "encode": "latents"}
        return Series(
            stages=tuple((f"{this}:{run}", folders.get(run, run)) for run in RUNS)
        )
    if name not in RUNS:
        raise ValueError(
            f"fluent_emoji.py takes one of {', '.join(RUNS)}, got {name!r}"
        )
    return RUNS[name]
