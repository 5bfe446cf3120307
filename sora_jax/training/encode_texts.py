"""Encode every caption of encoded clips once, with a frozen text encoder."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from etils import epath
from flax import nnx
from jaxtyping import Float16

from sora_jax.config import EncodeRun
from sora_jax.data import records, text_states
from sora_jax.families import OURS
from sora_jax.files import PathLike
from sora_jax.locking import Lock
from sora_jax.models.text_encoder import PAD
from sora_jax.types import TEXT
from sora_jax.weights import folders

SHARD = 4096  # texts
BATCH = 16


def encode_texts(config: EncodeRun, workdir: PathLike, lock: Lock) -> None:
    """Write the states of all captions of a folder; skips complete shards.

    Args:
      config: the run, with `text_from`.
      workdir: a folder whose clips are all encoded.
      lock: of the workdir.
    """
    texts = captions_in(workdir)
    model = folders.describe(config.text_from)
    tokenizer = folders.load_tokenizer(config.text_from)
    encoder = folders.load_network(config.text_from, OURS.contexts[TEXT])
    digest = folders.digest(config.text_from)
    graphdef, params = nnx.split(encoder)
    run = jax.jit(lambda params, ids: nnx.merge(graphdef, params)(ids))

    def states_of(part: list[str]) -> Iterator[Float16[np.ndarray, "l d"]]:
        filled = part + part[-1:] * (BATCH - len(part))  # one compiled program
        ids = np.stack([tokenizer.encode(text, model.text.pad_to) for text in filled])
        states = np.asarray(run(params, jnp.asarray(ids)), np.float16)
        for row, one in zip(ids[: len(part)], states, strict=False):
            yield one[: int((row != PAD).sum())]

    shards = range(0, len(texts), SHARD)
    with tqdm.tqdm(total=len(texts), desc="encoding captions", unit="text") as bar:
        for number, start in enumerate(shards):
            shard = texts[start : start + SHARD]
            if text_states.has_shard(workdir, number, digest, shard):
                bar.update(len(shard))
                continue
            found = {}
            for first in range(0, len(shard), BATCH):
                part = shard[first : first + BATCH]
                found |= dict(zip(part, states_of(part), strict=True))
                bar.update(len(part))
            lock.check()
            text_states.write_shard(workdir, number, digest, found)


def captions_in(workdir: PathLike) -> list[str]:
    """Return every caption of a folder of encoded clips, and the empty text.

    It costs little, but for shards of earlier versions, which are read whole.
    """
    splits = (epath.Path(workdir) / split for split in ("train", "held_out"))
    return sorted({""}.union(*map(records.captions_in, splits)))
