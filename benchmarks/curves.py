"""The curves of a training: `pip install matplotlib && python benchmarks/curves.py`.

Held-out loss of the averaged weights after so many steps, through runs of which each
starts from the one before: for images, and for clips of 17 frames. Dotted where a
run is evaluated on other clips than the first is.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]
import tyro

CURVES = {
    "loss 1x8x8": ("images of 64 x 64", "tab:green"),
    "loss 5x8x8": ("17 frames of 64 x 64", "tab:blue"),
}
RUNS = tuple(
    f"runs/{name}"
    for name in (
        "dit_images",
        "dit_clips",
        "dit_motion",
        "dit_again",
        "dit_both",
        "dit_pairs",
        "dit_mixed",
        "dit_order",
        "dit_all",
        "dit",
    )
)


def main(runs: tuple[str, ...] = RUNS, plot: str = "docs/curves.svg") -> None:
    """Draw the curves.

    Args:
      runs: workdirs, in the order of training.
      plot: the picture, which is drawn anew.
    """
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    configs = [read(folder, "config.json")[0] for folder in runs]
    start = 0
    for folder, config in zip(runs, configs, strict=True):
        evaluations = read(folder, "evaluations.jsonl")  # perhaps none
        style = "o-" if held_out(config) == held_out(configs[0]) else "x:"
        for name, (label, color) in CURVES.items():
            # What a run of images alone says about clips is nothing that it learned.
            if config["packing"]["longest"] == 1 and name != "loss 1x8x8":
                continue
            points = [(start + e["step"], e[name]) for e in evaluations if name in e]
            if points:
                x, y = zip(*points, strict=True)
                axes.plot(x, y, style, markersize=3, color=color, label=label)
        start += evaluations[-1]["step"] if evaluations else config["steps"]
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    axes.legend(named.values(), named.keys())
    axes.set(xlabel="steps", ylabel="held-out loss")
    figure.savefig(plot)


def held_out(config: dict) -> str:
    """What holds the clips that a run is evaluated on."""
    return Path(config["latents"]).name


def read(folder: str, name: str) -> list[dict]:
    """A file of a workdir, which holds one object, or one a line and may be absent."""
    path = Path(folder, name)
    if name.endswith("l"):
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]
    return [json.loads(path.read_text())]


if __name__ == "__main__":
    tyro.cli(main)
