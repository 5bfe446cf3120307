"""Open the store of stored clips that a config names."""

from __future__ import annotations

from sora_jax.config import ClipsConfig
from sora_jax.config.clips import TFDS
from sora_jax.data.sources import folder, tfds_store
from sora_jax.data.sources.stored import ClipStore


def open_store(config: ClipsConfig, split: str) -> ClipStore:
    """Open a split of a dataset, or of a folder of clips.

    Raises:
      ValueError: there is none.
    """
    path = config.path
    if path.startswith(TFDS):
        path = tfds_store.default_directory(path.removeprefix(TFDS))
    directories = tfds_store.find_directories(path)
    if directories:
        return tfds_store.TfdsStore(directories, split, config.fields)
    return folder.open_folder(path, split)
