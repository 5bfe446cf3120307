"""The default model from nothing: VAE, latents, DiT, and a better decoder.

Hardware: 2 CPU cores, about 14 hours; what ended is not made again.
Expected: what the single configs say.
Command:
  python train.py --config=configs/playground.py --workdir=runs
  python -m sora_jax.weights.publish --run runs/dit --vae runs/vae_decoder \\
    --sampling.window 29 --sampling.context 9 --out runs/weights
"""

from sora_jax.config import Series


def get_config() -> Series:
    """Return the runs."""
    vae, dit = "configs/playground_vae.py", "configs/playground_dit.py"
    encode = "configs/playground_encode.py"
    return Series(
        stages=(
            (f"{vae}:images", "vae_images"),
            (f"{vae}:short", "vae_short"),
            (f"{vae}:windows", "vae_windows"),
            (f"{vae}:sharp", "vae_sharp"),
            (f"{vae}:smooth", "vae"),
            (encode, "latents"),
            (f"{dit}:images", "dit_images"),
            (f"{dit}:clips", "dit_clips"),
            (f"{encode}:motion", "latents_motion"),
            (f"{dit}:motion", "dit_motion"),
            (f"{dit}:again", "dit_again"),
            (f"{dit}:both", "dit_both"),
            (f"{encode}:pairs", "latents_pairs"),
            (f"{dit}:pairs", "dit_pairs"),
            (f"{dit}:mixed", "dit_mixed"),
            (f"{encode}:pictures", "latents_pictures"),
            (f"{dit}:order", "dit_order"),
            (f"{dit}:all", "dit_all"),
            (f"{encode}:conditioned", "latents_conditioned"),
            (f"{dit}:last", "dit"),
            (f"{vae}:decoder", "vae_decoder"),
        )
    )
