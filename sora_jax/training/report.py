"""Report a run: progress bar, TensorBoard scalars, pictures and videos."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Mapping
from typing import Any

import jax
import msgspec
import numpy as np
import tqdm
from etils import epath
from jaxtyping import UInt8

from sora_jax import files
from sora_jax.config import RunConfig
from sora_jax.data import animations, pictures
from sora_jax.training.tensorboard import TensorBoardWriter
from sora_jax.workdir import explain_full_disk, write_bytes

# The terminal or pipe may close before the run ends (Ctrl-C also stops `| tee`).
_while_read = contextlib.suppress(OSError)

# One frame is a picture, several are an animation.
Media = UInt8[np.ndarray, "t h w c"]


class _Line(msgspec.Struct):
    step: int


class Report:
    """Prints and records a run's progress; does nothing except on the first host."""

    def __init__(self, workdir: str, config: RunConfig):
        self._steps, self._every = config.steps, config.log_every
        self._workdir = epath.Path(workdir)
        self._is_silent = jax.process_index() > 0
        self._tensorboard: Any = None

    def __enter__(self) -> Report:
        self._bar = tqdm.tqdm(
            total=self._steps,
            unit="step",
            dynamic_ncols=True,
            disable=self._is_silent,
        )
        return self

    def __exit__(self, *_) -> None:
        with _while_read:
            self._bar.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""
        with _while_read:
            self._bar.write(text)

    def start(
        self, step: int, work: Mapping[str, float], peak: float, chips: int = 1
    ) -> None:
        """Start at a step.

        Args:
          step: number of completed steps.
          work: amounts per step, such as "FLOP" (model FLOPs).
          peak: FLOP/s of the devices.
          chips: their number.
        """
        self._work, self._peak, self._chips = dict(work), peak, chips
        self._since, self._last = time.perf_counter(), step
        if self._is_silent:
            return
        if step:
            self.say(f"continuing {self._workdir} from step {step}")
        self._forget_after(step)
        # Curves beyond this step are overwritten.
        self._tensorboard = TensorBoardWriter(
            self._workdir / "tensorboard", purge_step=step + 1
        )
        self._bar.reset(total=self._steps)
        self._bar.n = self._bar.initial = self._bar.last_print_n = step
        self._bar.set_postfix_str("compiling the step")

    def pause(self, seconds: float) -> None:
        """Exclude time from the rates, such as that of an evaluation."""
        self._since += seconds

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show a step; record it every `log_every` steps."""
        with _while_read:
            self._bar.update(step - self._bar.n)
        if self._is_silent or (step % self._every and step != self._steps):
            return
        seconds = (time.perf_counter() - self._since) / max(1, step - self._last)
        self._since, self._last = time.perf_counter(), step
        rates = {f"{name}/s": amount / seconds for name, amount in self._work.items()}
        # Model FLOPs of a step, over what the chips could do in its time.
        utilisation = rates["FLOP/s"] / self._peak
        rates["FLOP/s per chip"] = rates.pop("FLOP/s") / self._chips
        scalars = {**metrics, **rates, "MFU": utilisation, "seconds/step": seconds}
        self._tensorboard.scalars(
            {f"train/{n}": value for n, value in scalars.items()}, step
        )
        shown = "  ".join(f"{short(value)} {name}" for name, value in rates.items())
        with _while_read:
            self._bar.set_postfix_str(
                f"loss {metrics['loss']:.4f}  {shown}  {utilisation:.0%} MFU"
            )

    def evaluation(
        self, step: int, scalars: Mapping[str, float], media: Mapping[str, Media]
    ) -> None:
        """Record an evaluation: scalars, pictures and animations."""
        if self._is_silent:
            return
        self._tensorboard.scalars(
            {f"eval/{n}": value for n, value in scalars.items()}, step
        )
        for name, frames in media.items():
            size = (frames.shape[1], frames.shape[2])
            self._tensorboard.picture(
                f"eval/{name}", encode_picture(frames), size, step
            )
        self._tensorboard.flush()
        line = json.dumps({"step": step, **scalars}) + "\n"
        with (
            explain_full_disk(self._evaluations, len(line)),
            self._evaluations.open("a") as file,
        ):
            file.write(line)
        text = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
        self.say(f"step {step}: {text}")

    def has(self, step: int) -> bool:
        """Return whether the evaluation of a step was recorded."""
        return any(line["step"] == step for line in self._recorded())

    def _recorded(self) -> list[dict[str, Any]]:
        if not self._evaluations.exists():
            return []
        recorded = []
        text = files.read_text(self._evaluations, "evaluations")
        for line in text.splitlines():
            try:
                # A line needs only its step.
                files.decode_json(line, _Line, infinite=True)
                recorded.append(files.decode_json(line, dict[str, Any], infinite=True))
            except ValueError:  # truncated on a full disk: evaluate again
                told = files.quoted(line)
                self.say(f"{self._evaluations}: dropped a broken line: {told}")
        return recorded

    @property
    def _evaluations(self) -> epath.Path:
        return self._workdir / "evaluations.jsonl"

    def _forget_after(self, step: int) -> None:
        """Drop evaluations of steps that will run again."""
        if self._evaluations.exists():
            kept = [line for line in self._recorded() if line["step"] <= step]
            text = "".join(f"{json.dumps(line)}\n" for line in kept)
            write_bytes(self._evaluations, text.encode())


def short(value: float) -> str:
    """Write a number in a few characters: 12.3G."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(value) < 1000 or unit == "P":
            break
        value /= 1000
    return f"{value:.3g}{unit}"


def encode_picture(frames: Media) -> bytes:
    """A PNG of one frame, or a GIF of several, which TensorBoard plays."""
    file = io.BytesIO()
    if len(frames) == 1:
        pictures.write_png(file, frames[0])
    else:
        animations.write_animation(file, frames, fps=8)
    return file.getvalue()


def tile(clips: UInt8[np.ndarray, "b t h w c"], columns: int = 4) -> Media:
    """Lay clips of one shape side by side into a moving picture."""
    b, t, h, w, c = clips.shape
    columns = min(columns, b)
    rows = b // columns
    grid = clips[: rows * columns].reshape(rows, columns, t, h, w, c)
    return grid.transpose(2, 0, 3, 1, 4, 5).reshape(t, rows * h, columns * w, c)
