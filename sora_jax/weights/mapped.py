"""Memory-mapped safetensors files."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Iterator

import numpy as np
from etils import epath

from sora_jax.weights.headers import StoredTensor


class Mapped:
    """The tensors of a file, as views of its mapped pages."""

    def __init__(self, pages: mmap.mmap):
        self.pages = pages

    def tensor(self, stored: StoredTensor) -> np.ndarray:
        """Return a tensor; its pages are read on access."""
        count = math.prod(stored.shape)
        flat = np.frombuffer(self.pages, stored.numpy_dtype, count, stored.begin)
        return flat.reshape(stored.shape)

    def forget(self, stored: StoredTensor) -> None:
        """Release the memory of a tensor's pages, if the system supports it."""
        if hasattr(self.pages, "madvise"):
            start = -(-stored.begin // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (stored.begin + stored.bytes - start) // mmap.PAGESIZE
            if length > 0:
                self.pages.madvise(mmap.MADV_DONTNEED, start, length * mmap.PAGESIZE)


@contextlib.contextmanager
def map_file(path: epath.Path) -> Iterator[Mapped]:
    """Map a file, on a disk or in a bucket."""
    with contextlib.ExitStack() as stack:
        if "://" in os.fspath(path):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = path.copy(epath.Path(folder) / path.name)
        file = stack.enter_context(open(os.fspath(path), "rb"))
        # Unmapped when its last view is garbage.
        yield Mapped(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
