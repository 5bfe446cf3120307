"""The curves of a training: `pip install matplotlib && python benchmarks/curves.py`.

Held-out loss of the averaged weights after so many steps, through runs of which each
starts from the one before, for images, clips of 17 frames, and the mean of all shapes.
"""

from __future__ import annotations

import json
from pathlib import Path

import tyro

CURVES = {
    "loss 1x8x8": "images of 64 x 64",
    "loss 5x8x8": "17 frames of 64 x 64",
    "loss": "mean of all shapes",
}
# A run of images alone has no use for the others.
IMAGES = "loss 1x8x8"


def main(
    runs: tuple[str, ...] = ("runs/dit_images", "runs/dit"),
    plot: str = "sora_jax/assets/curves.svg",
) -> None:
    """Draw the curves.

    Args:
      runs: workdirs, in the order of training.
      plot: the picture.
    """
    import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, color in zip(CURVES, ("tab:green", "tab:blue", "tab:grey"), strict=True):
        start, label = 0, CURVES[name]
        for folder in map(Path, runs):
            lines = (folder / "evaluations.jsonl").read_text().splitlines()
            found = [json.loads(line) for line in lines]
            config = json.loads((folder / "config.json").read_text())
            if name == IMAGES or config["packing"]["longest"] != 1:
                steps = [start + entry["step"] for entry in found]
                losses = [entry[name] for entry in found]
                axes.plot(steps, losses, "o-", markersize=3, color=color, label=label)
                label = None
            start += found[-1]["step"]
    axes.set(xlabel="steps", ylabel="held-out loss")
    axes.legend()
    figure.savefig(plot)


if __name__ == "__main__":
    tyro.cli(main)
