"""Find networks in files by the names of their tensors.

Those of a network may have any prefix, and one file may hold several networks.
"""

from __future__ import annotations

import dataclasses
import glob
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from etils import epath

from sora_jax import files
from sora_jax.families import Family
from sora_jax.families.family import NamedShapes, NetworkSpec, TensorFiles
from sora_jax.weights.headers import StoredTensor, tensors_in
from sora_jax.weights.network import StoredNetwork, read_headers, shapes_of
from sora_jax.weights.safetensors_io import require_safetensors

# Where other programs keep the networks of a transformer's file, ComfyUI among them.
BESIDE = (".", "../vae", "../text_encoders", "../clip", "../clip_vision")
MOST = 64  # files looked at in a folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """A network in a file.

    Attributes:
      file: that holds it, and perhaps others.
      layout: of the names of its tensors.
      stored: its tensors, without their prefix.
    """

    file: epath.Path
    layout: str
    stored: Mapping[str, StoredTensor]

    @property
    def named(self) -> NamedShapes:
        """The shapes of its tensors."""
        return NamedShapes(shapes=shapes_of(self.stored), layout=self.layout)

    def opened(
        self,
        spec: NetworkSpec,
        config: object,
        constants: Mapping[str, Sequence[float]],
    ) -> StoredNetwork:
        """Return it as a network of a model's config."""
        return StoredNetwork(
            where=str(self.file),
            spec=spec,
            config=spec.sizes(config),
            layout=self.layout,
            stored=self.stored,
            constants=constants,
        )


def networks_in(
    file: epath.Path, family: Family, wanted: Collection[str]
) -> dict[str, FoundNetwork]:
    """Find those of the wanted networks of a family that a file holds.

    Raises:
      ValueError: it is no safetensors file, or has the same network several times.
    """
    require_safetensors(file)
    names, found = list(tensors_in(file)), {}
    for network in wanted:
        spec = family.networks[network]
        for layout, anchor in spec.anchors.items():
            prefixes = _prefixes(names, anchor)
            if len(prefixes) > 1:
                raise ValueError(
                    f"weights {str(file)!r} have the network {network} several times, "
                    f"behind {files.quoted(', '.join(prefixes))}: keep one of them"
                )
            if prefixes:
                where = TensorFiles(
                    folder=file.parent,
                    begins=glob.escape(file.stem),
                    single=True,
                    prefix=prefixes[0],
                )
                stored = read_headers(where, spec)
                found[network] = FoundNetwork(file=file, layout=layout, stored=stored)
                break
    return found


def _prefixes(names: Collection[str], anchor: str) -> list[str]:
    """Return what stands before a tensor's name; only that of an average, if any."""
    found = [
        name.removesuffix(anchor)
        for name in names
        if name == anchor or name.endswith(f".{anchor}")
    ]
    return [prefix for prefix in found if "ema" in prefix] or found


def networks_beside(
    file: epath.Path, family: Family, wanted: Collection[str]
) -> dict[str, list[FoundNetwork]]:
    """Find networks in the files beside one, but for those that cannot be read."""
    found: dict[str, list[FoundNetwork]] = defaultdict(list)
    for folder in BESIDE if wanted else ():
        paths = sorted((file.parent / folder).glob("*.safetensors"))[:MOST]
        for path in paths:
            if path.name == file.name and folder == ".":
                continue
            try:
                there = networks_in(path, family, wanted)
            except ValueError:
                continue
            for network, one in there.items():
                found[network].append(one)
    return found
