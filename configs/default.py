"""The default model: the artists' characters and the playground, from nothing.

The VAE learns from crops of both worlds, first of images, then of clips. The DiT learns
characters at 64 x 64, four times as cheap as at 128 x 128, then both sizes and worlds.

Hardware: 2 CPU cores; hours by estimate: 0.3, 0.4, 1.5 (three encodings), 3 and 5.
Expected: reconstructions of held-out clips at 27.1 dB after images; after clips at 24.8
  dB, without flicker and blurred where things move, so that this stage is to be longer.
  The DiT was not trained yet.
Command:
  sora-jax data build fluent_emoji --data_dir data
  python train.py --config=configs/default.py --workdir=runs
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
    PlaygroundConfig,
    Series,
    TextConfig,
    VAEConfig,
    VAERun,
)

VOCABULARY = 2000
CHARACTERS = 1800  # training clips of data/fluent_emoji
# A whole cycle of three seconds; the first frame again closes the loop.
LARGE = ClipsConfig(path="data/fluent_emoji", fps=8.0, frames=25, size=(128, 128))
SMALL = dataclasses.replace(LARGE, size=(64, 64))
# Up to 33 frames: 9 latent frames, 144 tokens.
LENGTHS = ((1, 0.15), (9, 0.25), (17, 0.4), (33, 0.2))
WORLD = PlaygroundConfig(length=20_480, frames=LENGTHS, phrasing="rich")


def playground(frames: int) -> PlaygroundConfig:
    """Return about as many playground clips of one length as there are characters."""
    lengths, sizes = ((frames, 1.0),), (((64, 64), 1.0),)
    return dataclasses.replace(WORLD, length=CHARACTERS, frames=lengths, sizes=sizes)


IMAGES = VAERun(
    steps=900,
    batch=16,
    window=64,
    vae=VAEConfig(decoder_width=24, time_shortcut="repeat"),
    data=dataclasses.replace(LARGE, frames=1),
    more_data=(playground(1),),
    workers=1,
    optim=OptimConfig(name="muon", lr=1e-2, warmup=30, decay=0.4, ema_decay=0.99),
    eval_every=300,
    checkpoint_every=100,
)
ENCODE = EncodeRun(
    vae="runs/vae",
    conditioned=0.3,
    vocabulary=VOCABULARY,
    tokenizer_clips=4000,
    tokenizer_data=(WORLD,),
    held_out_clips=256,
)
# More clips, with the same VAE and tokenizer.
ENCODED = dataclasses.replace(
    ENCODE,
    vae="runs/latents_small",
    tokenizer="runs/latents_small",
    tokenizer_data=(),
)
DIT = DiTRun(
    latents="runs/latents_small",
    steps=12_000,
    dit=DiTConfig(
        width=192,
        depth=8,
        heads=3,
        mlp=512,
        position_embedding=True,
        theta=100.0,
        unroll=8,
    ),
    text=TextConfig(vocabulary=VOCABULARY, pad_to=64, unroll=2),
    packing=PackingConfig(tokens=224, rows=8, samples=4, causal=0.2),
    flow=FlowConfig(shift=3.0),
    optim=OptimConfig(name="muon", lr=5e-3, warmup=100, decay=0.3, ema_decay=0.999),
    cpu_matmul_dtype="bfloat16",
    eval_every=1000,
    checkpoint_every=250,
    prompts=(
        "a woman astronaut with dark skin on a light blue background",
        "a man cook with light skin on a white background",
        "a cat face on a yellow background",
        "a big red ball bounces on a green floor",
    ),
)
RUNS = {
    "images": IMAGES,
    "vae": dataclasses.replace(
        IMAGES,
        steps=700,
        batch=4,
        window=48,
        start_from="runs/vae_images",
        data=dataclasses.replace(LARGE, frames=17, least_frames=17),
        more_data=(playground(17),),
        kl=1e-3,
        optim=OptimConfig(name="muon", lr=5e-3, warmup=30, decay=0.5, ema_decay=0.995),
    ),
    "encode_small": dataclasses.replace(ENCODE, data=SMALL, draws=3),
    "small": DIT,
    "encode": dataclasses.replace(ENCODED, data=LARGE, draws=2),
    "encode_playground": dataclasses.replace(ENCODED, data=WORLD, draws=1),
    "dit": dataclasses.replace(
        DIT,
        latents="runs/latents",
        more_latents=("runs/latents_small", "runs/latents_playground"),
        start_from="runs/dit_small",
        steps=12_000,
        packing=dataclasses.replace(DIT.packing, tokens=448, rows=4, samples=6),
        optim=OptimConfig(name="muon", lr=4e-3, warmup=100, decay=0.7, ema_decay=0.999),
        seed=1,
    ),
}
FOLDERS = {
    "images": "vae_images",
    "encode": "latents",
    "encode_small": "latents_small",
    "encode_playground": "latents_playground",
    "small": "dit_small",
}


def get_config(name: str = "") -> Series | VAERun | EncodeRun | DiTRun:
    """Return the whole series, or one of its runs."""
    if not name:
        this = "configs/default.py"
        return Series(
            stages=tuple((f"{this}:{run}", FOLDERS.get(run, run)) for run in RUNS)
        )
    if name not in RUNS:
        raise ValueError(f"default.py takes one of {', '.join(RUNS)}, got {name!r}")
    return RUNS[name]
