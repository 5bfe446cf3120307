"""Show a video while it is made, and say how fast it comes (`sample.py --live`)."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from sora_jax.config import ModelConfig
from sora_jax.data.mp4 import Mp4Writer
from sora_jax.data.video import to_uint8
from sora_jax.files import BinaryFile, quoted

_logger = logging.getLogger(__name__)
STANDARD_OUTPUT = "-"
Clip = Float[np.ndarray, "_ h w 3"]


def check_live(target: str, model: ModelConfig, videos: int) -> None:
    """Check where frames are to be shown.

    Raises:
      ValueError: names the flag, its value and the remedy.
    """
    problems = []
    if model.causal is None:
        problems.append(
            f"--live {quoted(target)} is for causal models, and {model.name} makes all "
            "frames of a window at once: leave it out, or give weights of a causal "
            "model"
        )
    if videos != 1:
        problems.append(f"--live shows one video, got {videos}: ask for one at a time")
    if target != STANDARD_OUTPUT:
        if os.path.lexists(target) and not _is_pipe(target):
            problems.append(
                f"--live {quoted(target)} exists, and is not overwritten: give another "
                "name, a named pipe, or - for standard output"
            )
        elif not os.path.isdir(os.path.dirname(target) or "."):
            problems.append(
                f"--live {quoted(target)} is in no folder that exists: make it first"
            )
    if problems:
        raise ValueError("\n".join(problems))


def _is_pipe(target: str) -> bool:
    return os.path.exists(target) and stat.S_ISFIFO(os.stat(target).st_mode)


def shown(
    chunks: Iterator[Clip], target: str, fps: float, started: float
) -> Iterator[Clip]:
    """Yield chunks of a video on, each after it has been shown.

    Args:
      chunks: of frames in [-1, 1].
      target: a file or a named pipe, or "-" for standard output.
      fps: frames per second.
      started: `time.perf_counter` at the beginning.
    """
    first, early, count = 0.0, 0, 0
    with _opened(target) as file, _Viewer(file, fps) as viewer:
        for chunk in chunks:
            viewer.show(chunk)
            count += len(chunk)
            if not early:
                first, early = time.perf_counter(), count
                _logger.info("the first frames came after %.1f s", first - started)
            yield chunk
    if count > early:
        rate = (count - early) / (time.perf_counter() - first)
        _logger.info("then %.3g frames a second came, %g are shown", rate, fps)


@contextlib.contextmanager
def _opened(target: str) -> Iterator[BinaryFile]:
    if target == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    with contextlib.suppress(BrokenPipeError), open(target, "wb") as file:
        yield file


class _Viewer:
    """Whoever reads an MP4 while it grows; after they have left, nothing is written."""

    def __init__(self, file: BinaryFile, fps: float):
        self.file, self.writer = file, Mp4Writer(file, fps, is_live=True)
        self.is_here = True

    def __enter__(self) -> _Viewer:
        """Return it."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Complete the video."""
        self._write(lambda: self.writer.__exit__(*error))

    def show(self, chunk: Clip) -> None:
        """Show frames."""
        self._write(lambda: [self.writer.add(pixels) for pixels in to_uint8(chunk)])

    def _write(self, write: Callable[[], Any]) -> None:
        if not self.is_here:
            return
        try:
            write()
            self.file.flush()
        except BrokenPipeError:
            self.is_here = False
            _logger.info("nobody watches any more; the video is still made")
            if self.file is sys.stdout.buffer:
                sys.stdout = open(os.devnull, "w")
