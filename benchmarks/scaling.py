"""Quality rises with compute: `pip install matplotlib && python benchmarks/scaling.py`.

One small model is trained for 1, 4 and 16 times as many steps on the same encoded
clips; held-out loss, and the share of stated facts that the judge sees in videos of
held-out prompts, are set against the FLOPs of training. Trainings that ended are not
made again. The table goes to the terminal, the plot into a file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]
import numpy as np
import tyro

CONFIG = "configs/playground_dit.py:again"
SMALL = {
    "dit.width": 128,
    "dit.depth": 4,
    "dit.unroll": 4,
    "dit.mlp": 344,
    "start_from": "",
    "seed": 0,
    "flow.shift": 2.0,
    "optim.lr": 5e-3,
    "optim.decay": 0.5,
}
FACTS = ("background", "colour", "shape", "size", "motion", "camera", "light")


def main(
    latents: str = "runs/latents",
    out: str = "runs/scaling",
    plot: str = "benchmarks/scaling.svg",
    steps: int = 400,
    times: tuple[int, ...] = (1, 4, 16),
    cases: int = 100,
) -> None:
    """Train, judge, and print the table.

    Args:
      latents: folder of encoded clips (configs/playground_encode.py).
      out: folder of the trainings.
      plot: the picture, which is drawn anew.
      steps: of the shortest training.
      times: how many times as many steps the trainings have.
      cases: videos of single objects that are judged, for each training.
    """
    rows = []
    print("| compute | FLOP | held-out loss | facts seen |\n|---|---:|---:|---:|")
    for factor in times:
        folder = Path(out) / f"{factor}x"
        loss, flop = train(latents, folder, factor * steps)
        share = judge(folder, cases)
        rows.append((flop, loss, share))
        print(f"| {factor}x | {flop:.1e} | {loss:.3f} | {share:.1%} |", flush=True)
    draw(np.array(rows), Path(plot))


def train(latents: str, folder: Path, steps: int) -> tuple[float, float]:
    """Train for so many steps; return the held-out loss and the FLOPs that it took."""
    fields = {"latents": latents, "steps": steps, "eval_every": steps, **SMALL}
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    workdir = folder / "run"
    call("train.py", f"--config={CONFIG}", f"--workdir={workdir}", *flags)
    last = (workdir / "evaluations.jsonl").read_text().splitlines()[-1]
    return json.loads(last)["loss"], steps * flop_of_a_step(workdir)


def flop_of_a_step(workdir: Path) -> float:
    """Model FLOPs of a step, forward and backward."""
    from sora_jax.config import DiTRun, from_json
    from sora_jax.data import planning
    from sora_jax.training.dit import work_of_a_step
    from sora_jax.training.latents import open_latents
    from sora_jax.training.packed_rows import row_builder

    config = from_json(DiTRun, json.loads((workdir / "config.json").read_text()))
    found = open_latents(config)
    plan = planning.plan_epoch(
        found.train.index, config.dit.patch, config.packing, config.seed
    )
    build = row_builder(config, found, found.train, plan.views, config.packing)
    return work_of_a_step(config, plan, build)["FLOP"]


def judge(folder: Path, cases: int) -> float:
    """The mean share of facts that are seen in videos of single objects."""
    weights, report = folder / "weights", folder / f"judged-{cases}.json"
    if not (weights / "config.json").exists():
        # What a publishing that was cut short left behind would be refused.
        shutil.rmtree(weights, ignore_errors=True)
        run = str(folder / "run")
        call("-m", "sora_jax.weights.publish", "--run", run, "--out", str(weights))
    if not report.exists():
        options = ["--kind", "one", "--cases", str(cases), "--out", str(report)]
        call("-m", "sora_jax", "eval", "--weights", str(weights), *options)
    facts = json.loads(report.read_text())["measures"]["generate"]
    seen = [facts[fact]["model"] for fact in FACTS]
    return float(np.mean([fact["right"] / fact["cases"] for fact in seen]))


def draw(rows: np.ndarray, path: Path) -> None:
    """Plot loss and judgement against compute."""
    figure, left = plt.subplots(figsize=(6, 4), layout="constrained")
    right = left.twinx()
    left.semilogx(rows[:, 0], rows[:, 1], "o-", color="tab:blue")
    right.semilogx(rows[:, 0], 100 * rows[:, 2], "s--", color="tab:red")
    left.set(xlabel="FLOP of training", ylabel="held-out loss (blue)")
    right.set(ylabel="facts seen in videos, % (red)")
    figure.savefig(path)


def call(*command: str) -> None:
    """Run Python on something, quietly."""
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    tyro.cli(main)
