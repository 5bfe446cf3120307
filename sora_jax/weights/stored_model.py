"""A weights folder in a layout of a family: its configs and headers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from sora_jax import limits
from sora_jax.families.family import Family, Layout
from sora_jax.models.tokenizer import Tokenizer, check_file
from sora_jax.weights.headers import StoredTensor
from sora_jax.weights.mapped import map_file
from sora_jax.weights.network import StoredNetwork, place_of, read_headers, shapes_of

HASHED = 2**20  # bytes at each end of a file


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A weights folder in a layout of a family.

    Attributes:
      family: of the model.
      layout: of the folder.
      config: of the model.
      networks: by name.
      tokenizer: the SentencePiece model: a file, or the bytes inside of one.
    """

    family: Family
    layout: Layout
    config: Any
    networks: Mapping[str, StoredNetwork]
    tokenizer: epath.Path | StoredTensor

    @property
    def digest(self) -> str:
        """Hash the length, the beginning and the end of each file.

        Hashing whole files would take longer than loading them.
        """
        files = {
            item.file
            for network in self.networks.values()
            for item in network.stored.values()
        }
        digest = hashlib.sha256()
        for path in sorted(files, key=str):
            length = path.stat().length
            digest.update(f"{path.name} {length}".encode())
            with path.open("rb") as file:
                digest.update(file.read(HASHED))
                file.seek(max(0, length - HASHED))
                digest.update(file.read(HASHED))
        return digest.hexdigest()[:16]

    def check(self) -> None:
        """Check all files without reading any tensor.

        Raises:
          ValueError: lists the problems of every network.
        """
        problems = []
        for network in self.networks.values():
            try:
                network.check()
            except ValueError as error:
                problems.append(str(error))
        try:
            if not isinstance(self.tokenizer, StoredTensor):
                check_file(self.tokenizer)
            elif self.tokenizer.bytes > limits.TOKENIZER_BYTES:
                raise ValueError(
                    f"tokenizer: {self.tokenizer.bytes:,} bytes in "
                    f"{str(self.tokenizer.file)!r} are more than "
                    f"{limits.TOKENIZER_BYTES:,}: this is not Wan's"
                )
        except ValueError as error:
            problems.append(f"{error}; copy or download the folder again")
        if problems:
            raise ValueError("\n".join(problems))

    def load_tokenizer(self) -> Tokenizer:
        """Read the tokenizer, as its publishers adapt it."""
        if isinstance(self.tokenizer, StoredTensor):
            with map_file(self.tokenizer.file) as file:
                model = file.tensor(self.tokenizer).tobytes()
            model = Tokenizer.of(model, repr(str(self.tokenizer.file))).model
        else:
            model = Tokenizer.load(self.tokenizer).model
        return Tokenizer(self.layout.tokenizer_model(model))


def open_model(where: epath.Path, family: Family, layout: Layout) -> StoredModel:
    """Read configs and headers of a folder.

    Raises:
      ValueError: a file is missing, or the model is not supported.
    """
    located = layout.locate(where)
    stored = {
        name: read_headers(files, family.networks[name])
        for name, files in located.items()
    }
    described = layout.describe(where, {n: shapes_of(x) for n, x in stored.items()})
    networks = {
        name: StoredNetwork(
            where=place_of(located[name]),
            spec=spec,
            config=spec.sizes(described.config),
            layout=layout.name,
            stored=stored[name],
            constants=described.constants.get(name, {}),
        )
        for name, spec in family.used(described.config).items()
    }
    return StoredModel(
        family=family,
        layout=layout,
        config=described.config,
        networks=networks,
        tokenizer=described.tokenizer,
    )
