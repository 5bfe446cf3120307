"""Check a folder of weights whole: every tensor, the tokenizer, one step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from sora_jax.files import PathLike
from sora_jax.weights import folders
from sora_jax.weights.modules import flatten, parameters


def stored_lines(folder: PathLike) -> Iterator[str]:
    """Check configs and headers, and yield what a folder holds.

    Raises:
      ValueError: a file is missing or damaged, or tensors do not fit the config.
    """
    family, config = folders.describe_family(folder)
    yield f"{config.name}, {family.summary(config)}; family {family.name}"
    stored = folders.find_stored_model(folder)
    if stored is not None:
        yield f"layout: {stored.layout.name}"
        for name, network in stored.networks.items():
            tensors = network.stored.values()
            kinds = Counter(tensor.dtype for tensor in tensors)
            told = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
            size = sum(tensor.bytes for tensor in tensors) / 2**30
            files = len({tensor.file for tensor in tensors})
            yield f"{name}: {told}, {size:.2f} GiB in {files} files, all as expected"
    yield f"hash: {folders.digest(folder)}"


def tensor_lines(folder: PathLike) -> Iterator[str]:
    """Read every network, one at a time, and yield its size and the seconds it took.

    Raises:
      ValueError: a tensor holds NaN or infinity, or its file is damaged.
    """
    family, config = folders.describe_family(folder)
    for name in family.used(config):
        began = time.perf_counter()
        module = folders.load_network(folder, name)
        values = flatten(parameters(module))
        count = sum(x.size for x in jax.tree.leaves(values))
        seconds = time.perf_counter() - began
        yield f"{name}: {count:,} parameters, all finite, read in {seconds:.1f} s"


def check_tokenizer(folder: PathLike, texts: Sequence[str]) -> str:
    """Check that a tokenizer spells texts.

    Raises:
      ValueError: a text does not come back; names the first.
    """
    tokenizer = folders.load_tokenizer(folder)
    for text in texts:
        back = tokenizer.decode(tokenizer.encode(text, 64))
        if back.split() != text.split():
            raise ValueError(
                f"tokenizer: {text!r} comes back as {back!r}: copy or download the "
                "folder again"
            )
    return f"tokenizer: {tokenizer.vocab_size:,} pieces, {len(texts)} texts come back"


def check_finite(frames: np.ndarray) -> str:
    """Check frames that the weights have made.

    Raises:
      ValueError: they hold NaN.
    """
    if not np.isfinite(frames).all():
        raise ValueError(
            "the frames of one step hold NaN: the files are damaged, or of another "
            "model than their configs say"
        )
    return f"one step: {frames.shape[1]} frames, finite, deviation {frames.std():.2f}"
