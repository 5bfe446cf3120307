"""Build datasets, and read all that is in them."""

from sora_jax.data.sources.tfds_store import TfdsStore, find_directories, split_names
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import parts_of


def build(kind, recipe, folder, parts=1):
    """Build all parts; return what was left out."""
    built = [build_part(kind, recipe, part, folder) for part in parts_of(recipe, parts)]
    return [each for found in built for each in found]


def stores(folder):
    directories = find_directories(folder)
    return {name: TfdsStore(directories, name) for name in split_names(directories)}


def contents(store):
    return {store.describe(i).name: store.content(i) for i in range(len(store))}
