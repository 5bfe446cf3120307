"""The record of a model family, which loading, saving and sampling read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath
from flax import nnx

from sora_jax.families.table import Entry
from sora_jax.models.tokenizer import Tokenizer

# Shapes of the tensors in files, by name.
Shapes = Mapping[str, tuple[int, ...]]


def _always(_: Any) -> bool:
    return True


def _no_guess(_: Shapes) -> str:
    return ""


def _same_name(name: str) -> str | None:
    return name


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A network of a family.

    Attributes:
      module: the class, built as `module(config, rngs=rngs)`.
      config: the field of the model's config that holds its sizes.
      is_used: whether a model of that config has it.
      table: builds the table of its tensors from its sizes and a layout's name.
      constants: parameters stored in a JSON config, not as tensors.
      canonical: the name of a file's tensor in the table; None if it is ignored.
      aliases: from alternative to canonical tensor names.
      anchors: a tensor that every file of it has, by layout.
      guess: describes which model tensors of these shapes may be, for messages.
      guess_adapter: the same for adapters, from the shapes of first factors by module.
    """

    module: Callable[..., nnx.Module]
    config: str
    is_used: Callable[[Any], bool] = _always
    table: Callable[[Any, str], list[Entry]] | None = None
    constants: tuple[str, ...] = ()
    canonical: Callable[[str], str | None] = _same_name
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    anchors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    guess: Callable[[Shapes], str] = _no_guess
    guess_adapter: Callable[[Shapes], str] = _no_guess

    def sizes(self, config: Any) -> Any:
        """Return its part of a model's config."""
        return getattr(config, self.config)

    def build(self, config: Any) -> Callable[[nnx.Rngs], nnx.Module]:
        """Return a function that builds it from a model's config."""
        return lambda rngs: self.module(self.sizes(config), rngs=rngs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorFiles:
    """The location of a network's safetensors files.

    Attributes:
      folder: of the files.
      begins: prefix of their names.
      single: whether there is just one, whose name matches `begins` as a pattern.
      prefix: before the names of its tensors; others in the file are ignored.
    """

    folder: epath.Path
    begins: str = ""
    single: bool = False
    prefix: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedShapes:
    """The tensors of a network's files: their shapes by name, and the names' layout."""

    shapes: Shapes
    layout: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromFiles:
    """Tells the model of networks that are given as files, without any config.

    Attributes:
      needs: the networks that a transformer needs.
      fits: (transformer, name, network) -> whether a network goes with a transformer.
      describe: (name of the file, networks by name) -> the model's config, and
        constants as in `Description`.
    """

    needs: Callable[[NamedShapes], Sequence[str]]
    fits: Callable[[NamedShapes, str, NamedShapes], bool]
    describe: Callable[
        [str, Mapping[str, NamedShapes]],
        tuple[Any, Mapping[str, Mapping[str, Sequence[float]]]],
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """The contents of a weights folder in a family's layout.

    Attributes:
      config: the model's.
      tokenizer: the SentencePiece model.
      constants: values of `NetworkSpec.constants`, by network and parameter.
    """

    config: Any
    tokenizer: epath.Path
    constants: Mapping[str, Mapping[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exporter:
    """Writes a layout.

    Attributes:
      problems: lists why the layout cannot express a model.
      files: all files but the tensors by path, JSON or bytes; also `Layout.index`.
      networks: the folder of each network, and the prefix of its file names.
      network_json: returns the JSON config of a network.
    """

    problems: Callable[[Any], list[str]]
    files: Callable[[Any, Tokenizer], Mapping[str, Any]]
    networks: Mapping[str, tuple[str, str]]
    network_json: Callable[[Any], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout of weights in a folder.

    Attributes:
      name: selects the table.
      index: the file that completes a folder, if any.
      recognizes: whether a folder has this layout.
      locate: finds the files of each network.
      describe: reads the model from the folder's JSON and the shapes of its tensors.
      tokenizer_model: adapts a SentencePiece model to the publisher's tokenizer.
      exporter: writes the layout; None if it is only read.
    """

    name: str
    index: str | None = None
    recognizes: Callable[[epath.Path], bool]
    locate: Callable[[epath.Path], Mapping[str, TensorFiles]]
    describe: Callable[[epath.Path, Mapping[str, Shapes]], Description]
    tokenizer_model: Callable[[bytes], bytes]
    exporter: Exporter | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models.

    Attributes:
      name: in messages, and in config.json of the sora_jax layout.
      config: the type of its models' configs.
      networks: by name.
      contexts: the network that encodes each context of the transformer, by context.
      autoencoder: the network between pixels and latents.
      transformer: the network that predicts velocities.
      experts: (config, time) -> the transformer of a time, where there are several.
      transformers: what users call them, "high" and "low", where there may be several.
      layouts: other than the sora_jax layout.
      from_files: tells the model of single files, if it is supported.
      models: configs of published models by name.
      heads: number of attention heads, for the mesh.
      summary: describes a model's size, for messages.
    """

    name: str
    config: type
    networks: Mapping[str, NetworkSpec]
    contexts: Mapping[str, str]
    autoencoder: str = "vae"
    transformer: str = "dit"
    experts: Callable[[Any, float], str] | None = None
    transformers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    layouts: tuple[Layout, ...] = ()
    from_files: FromFiles | None = None
    models: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    heads: Callable[[Any], int]
    summary: Callable[[Any], str]

    def transformer_at(self, config: Any, time: float) -> str:
        """Return the network that predicts velocities at a time."""
        return self.experts(config, time) if self.experts else self.transformer

    def used(self, config: Any) -> dict[str, NetworkSpec]:
        """Return the networks that a model of this config has."""
        return {name: x for name, x in self.networks.items() if x.is_used(config)}

    def tables(self, config: Any, network: str) -> list[list[Entry]]:
        """Return the table of a network's tensors in each published layout."""
        spec = self.networks[network]
        if spec.table is None:
            return []
        return [spec.table(spec.sizes(config), layout.name) for layout in self.layouts]
