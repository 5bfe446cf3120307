"""What a model family says of itself: all that loading, saving and sampling ask it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath
from flax import nnx

from sora_jax.families.table import Entry
from sora_jax.models.tokenizer import Tokenizer

# Of the tensors in files, by name.
Shapes = Mapping[str, tuple[int, ...]]


def _always(_: Any) -> bool:
    return True


def _one_transformer(config: Any, time: float) -> str:
    del config, time
    return "dit"


def _no_guess(_: Shapes) -> str:
    return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A network of a family.

    Attributes:
      module: the class, built as `module(config, rngs=rngs)`.
      config: the field of the model's config that holds its sizes.
      is_used: whether a model of that config has it.
      table: the tensors of its files, from its sizes and the name of a layout.
      constants: parameters that are fields of a published config, and no tensors.
      aliases: second names that a tensor may have in files, and the first.
      guess: a line on what tensors of these shapes may be, for messages.
    """

    module: Callable[..., nnx.Module]
    config: str
    is_used: Callable[[Any], bool] = _always
    table: Callable[[Any, str], list[Entry]] | None = None
    constants: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    guess: Callable[[Shapes], str] = _no_guess

    def sizes(self, config: Any) -> Any:
        """Its part of a model's config."""
        return getattr(config, self.config)

    def build(self, config: Any) -> Callable[[nnx.Rngs], nnx.Module]:
        """Make it from a model's config."""
        return lambda rngs: self.module(self.sizes(config), rngs=rngs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorFiles:
    """Where the safetensors files of a network lie.

    Attributes:
      folder: they are in.
      begins: how their names begin.
      single: whether there is just one, whose name matches `begins` as a pattern.
    """

    folder: epath.Path
    begins: str = ""
    single: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a folder of published weights holds.

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
    """How a layout is written.

    Attributes:
      problems: lines that say why a model has no expression in the layout.
      files: contents beside the networks by path, JSON or bytes; `Layout.index` too.
      networks: the folder of each network, and how the names of its files begin.
      network_json: the config of a network that is written.
    """

    problems: Callable[[Any], list[str]]
    files: Callable[[Any, Tokenizer], Mapping[str, Any]]
    networks: Mapping[str, tuple[str, str]]
    network_json: Callable[[Any], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How published weights lie in a folder.

    Attributes:
      name: what a table is asked for.
      index: the file that makes a folder whole, if one does.
      recognizes: whether a folder is laid out so.
      locate: the files of each network.
      describe: the model, from the folder's JSON and the shapes of its tensors.
      tokenizer_model: what the publishers' code makes of a SentencePiece model.
      exporter: how the layout is written; None where it is only read.
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
      name: in messages, and in the config.json of our own folders.
      config: the type of its models' configs.
      networks: by name.
      contexts: the network that encodes each context of the transformer, by context.
      autoencoder: the network between pixels and latents.
      transformer_at: the network that predicts velocities at a time, of a config.
      layouts: in which its weights are published; our own folders need none.
      models: known ones with their sampling defaults, by name.
      heads: of attention, which a mesh may have to divide.
      summary: of a model's size, for messages.
    """

    name: str
    config: type
    networks: Mapping[str, NetworkSpec]
    contexts: Mapping[str, str]
    autoencoder: str = "vae"
    transformer_at: Callable[[Any, float], str] = _one_transformer
    layouts: tuple[Layout, ...] = ()
    models: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    heads: Callable[[Any], int]
    summary: Callable[[Any], str]

    def used(self, config: Any) -> dict[str, NetworkSpec]:
        """The networks that a model of this config has."""
        return {name: x for name, x in self.networks.items() if x.is_used(config)}
