"""Find the safetensors files of a network: one, or the shards of an index."""

from __future__ import annotations

import re

import msgspec
from etils import epath

from sora_jax import files, limits
from sora_jax.families.family import TensorFiles
from sora_jax.weights.safetensors_io import PICKLES
from sora_jax.workdir import read_json

INSIDE = r"[^/\\\x00-\x1f]+\.safetensors"  # a file name without a folder
SHARD = re.compile(r"-of-(\d+)\.safetensors$")
COPY = "copy or download it again"


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def find_files(where: TensorFiles) -> list[epath.Path]:
    """Return the safetensors files of a network, complete by their index.

    Raises:
      ValueError: a file or shard is missing, or there are pickles instead.
    """
    if where.single:
        return [find_file(where.folder, where.begins)]
    folder, begins = where.folder, where.begins
    indices = sorted(folder.glob(f"{begins}*.safetensors.index.json"))
    if indices:
        return read_index(indices[0])
    found = sorted(folder.glob(f"{begins}*.safetensors"))
    numbered = [SHARD.search(path.name) for path in found]
    counts = {int(match[1]) for match in numbered if match}
    if counts and (len(counts) > 1 or counts != {len(found)}):
        raise ValueError(
            f"weights folder {str(folder)!r} holds {len(found)} of "
            f"{max(counts)} shards and no index: {COPY}"
        )
    if not found:
        refuse_pickles(folder, f"{begins}*")
        raise ValueError(
            f"weights folder {str(folder)!r} holds no {begins}*.safetensors: {COPY}"
        )
    return found


def read_index(path: epath.Path) -> list[epath.Path]:
    """Return the shards of an index.

    Raises:
      ValueError: it names other files, or shards are missing.
    """
    listed = read_json(path, COPY, _Index, limits.INDEX_BYTES)
    names = sorted(set(listed.weight_map.values()))
    elsewhere = [name for name in names if not re.fullmatch(INSIDE, name)]
    if elsewhere or not names:
        told = files.quoted(elsewhere[0]) if elsewhere else "nothing"
        raise ValueError(
            f"{path} names {told} instead of safetensors files in its folder: {COPY}"
        )
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        raise ValueError(
            f"weights folder {str(path.parent)!r} lacks {', '.join(missing)} of its "
            f"{len(names)} shards: copy or download them again"
        )
    return [path.parent / name for name in names]


def find_file(folder: epath.Path, pattern: str) -> epath.Path:
    """Return the only safetensors file that matches a pattern.

    Raises:
      ValueError: there is none or several, or a pickle instead.
    """
    found = sorted(folder.glob(f"{pattern}.safetensors"))
    if len(found) > 1:
        raise ValueError(
            f"weights folder {str(folder)!r} holds {len(found)} files {pattern}: keep "
            "only one of them"
        )
    if found:
        return found[0]
    refuse_pickles(folder, pattern)
    raise ValueError(
        f"weights folder {str(folder)!r} lacks {pattern}.safetensors: copy or download "
        "the folder again"
    )


def refuse_pickles(where: epath.Path, pattern: str) -> None:
    """Refuse a folder that has pickles instead of safetensors."""
    found = [p.name for kind in PICKLES for p in where.glob(pattern + kind)]
    if found:
        raise ValueError(
            f"weights folder {str(where)!r} holds {', '.join(sorted(found))}, which "
            "may be pickles and can run any code: convert them to .safetensors if "
            "you trust them"
        )
