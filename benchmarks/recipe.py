"""What each choice of the DiT's recipe is worth: `python benchmarks/recipe.py`.

Every row is a short training of one small model that differs from the first row in one
thing, on the same encoded clips and for the same number of steps ("half as long" is
what the row above it begins with). What is compared is the held-out loss of the
averaged weights, at fixed noise levels, over all clip shapes, and for clips of 17
frames of 64 x 64 alone. Trainings of images alone pack more of them into a row, and
are held against other images. A mixture of other clips is encoded first, as many as
are shown, and held against the same clips as all. Trainings that ended are not made
again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import tyro

CLIPS = "loss 5x8x8"  # latents of 17 frames of 64 x 64
CLIPS_PER_STEP = 26  # hardly more than 8 rows of 160 tokens hold
SMALL = {
    "dit.width": 128,
    "dit.depth": 4,
    "dit.unroll": 4,
    "dit.mlp": 344,
    "start_from": "",
    "seed": 0,
    "flow.shift": 2.0,
    "optim.lr": 5e-3,
    "optim.decay": 0.3,
    "optim.ema_decay": 0.99,
}
# What differs; "after": a training whose averaged weights this one starts from;
# "clips": flags of the run that encodes what this one learns from.
VARIANTS: dict[str, dict[str, object]] = {
    "Muon 5e-3, shift 2, average 0.99": {},
    "AdamW 1e-3": {"optim.name": "adamw", "optim.lr": 1e-3},
    "AdamW 3e-3": {"optim.name": "adamw", "optim.lr": 3e-3},
    "Muon 2e-3": {"optim.lr": 2e-3},
    "Muon 1e-2": {"optim.lr": 1e-2},
    "shift 1": {"flow.shift": 1.0},
    "shift 4": {"flow.shift": 4.0},
    "average 0.998": {"optim.ema_decay": 0.998},
    "average 0.9": {"optim.ema_decay": 0.9},
    "no beginnings given as clean tokens, no crops": {
        "packing.clean_prefix": 0.0,
        "packing.mid_clip": 0.0,
    },
    "captions always": {"packing.caption_dropout": 0.0},
    "tokens not told their places": {"dit.position_embedding": False},
    "4 heads": {"dit.heads": 4},
    "images alone": {"packing.longest": 1, "packing.samples": 10},
    "half images alone, half all clips": {"after": "images alone, half as long"},
    "images alone, half as long": {"packing.longest": 1, "packing.samples": 10},
    "clips of 64 x 64 alone": {"clips": "--config.data.sizes 64 64 1.0"},
    "something known of no clip": {"clips": "--config.conditioned 0.0"},
    "something known of every clip": {"clips": "--config.conditioned 1.0"},
}
HALVES = ("half images alone, half all clips", "images alone, half as long")


def main(
    latents: str = "runs/latents",
    out: str = "runs/recipe",
    steps: int = 400,
    only: tuple[str, ...] = (),
) -> None:
    """Train every variant and print the table.

    Args:
      latents: folder of encoded clips (configs/playground_encode.py).
      out: folder of the trainings.
      steps: of each training; two that follow each other share them.
      only: parts of the names of the variants to train, beside the first.
    """
    first, *others = VARIANTS
    names = [name for name in others if not only or any(part in name for part in only)]
    if not names:
        raise ValueError(f"--only must be parts of {', '.join(others)}, got {only}")
    names += [VARIANTS[name]["after"] for name in names if "after" in VARIANTS[name]]
    names = [name for name in others if name in names]
    rows = []
    # What others start from is named after them, and trained before.
    for name in (first, *reversed(names)):
        losses = train(name, latents, Path(out), steps)
        rows.append((name, losses["loss"], losses[CLIPS]))
        print(f"{name}: {losses['loss']:.4f}", file=sys.stderr)
    print(f"| variant, {steps} steps | held-out loss | of 17 frames of 64 x 64 |")
    print("|---|---:|---:|")
    for name, loss, clips in (rows[0], *reversed(rows[1:])):
        print(f"| {name} | {loss:.4f} | {clips:.4f} |")


def train(name: str, latents: str, out: Path, steps: int) -> dict[str, float]:
    """Train a variant, or go on with it, and return its last evaluation."""
    fields = dict(SMALL | VARIANTS[name], latents=latents)
    if after := fields.pop("after", None):
        fields["start_from"] = workdir(str(after), out)
    if fields.pop("clips", None):
        fields["latents"] = encode(name, latents, out, steps)
    steps = steps // 2 if name in HALVES else steps
    fields |= {"steps": steps, "eval_every": steps, "checkpoint_every": steps}
    flags = [f"--config.{field}={value}" for field, value in fields.items()]
    folder = workdir(name, out)
    run("playground_dit.py:again", folder, *flags)
    return json.loads(Path(folder, "evaluations.jsonl").read_text().splitlines()[-1])


def encode(name: str, like: str, out: Path, steps: int) -> str:
    """Encode a variant's own clips, or go on; the held-out ones are those of all."""
    folder = workdir(f"clips of {name}", out)
    held_out = Path(folder, "held_out")
    if not held_out.is_symlink():
        same = [f"--config.{part}={like}" for part in ("vae", "tokenizer")]
        length = f"--config.data.length={CLIPS_PER_STEP * steps}"
        flags = ("--config.held_out_clips=1", *str(VARIANTS[name]["clips"]).split())
        run("playground_encode.py", folder, *same, length, *flags)
        shutil.rmtree(held_out)
        held_out.symlink_to(Path(like, "held_out").resolve())
    return folder


def run(config: str, folder: str, *flags: str) -> None:
    """Start a run of `configs/` and wait for its end."""
    command = [sys.executable, "train.py", f"--config=configs/{config}"]
    command += [f"--workdir={folder}", *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def workdir(name: str, out: Path) -> str:
    """The folder of a variant's training."""
    return str(out / "-".join(name.replace(",", "").split()))


if __name__ == "__main__":
    tyro.cli(main)
