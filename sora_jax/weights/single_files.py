"""Open weights whose networks are files of their own, as other programs keep them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from etils import epath

from sora_jax import files
from sora_jax.families import FAMILIES, Family
from sora_jax.families.family import FromFiles
from sora_jax.families.wan import text_table
from sora_jax.files import PathLike
from sora_jax.types import TEXT
from sora_jax.weights.found_networks import FoundNetwork, networks_beside, networks_in
from sora_jax.weights.headers import StoredTensor, tensors_in
from sora_jax.weights.places import WeightsFiles
from sora_jax.weights.stored_model import StoredModel

EMBEDDED = text_table.TOKENIZER
# In the names of files that hold one of two transformers.
HALVES = ("high_noise", "low_noise")
_logger = logging.getLogger(__name__)
TOKENIZERS = ("spiece.model", "tokenizer/spiece.model", "google/umt5-xxl/spiece.model")


def given_networks(place: WeightsFiles, family: Family) -> dict[str, FoundNetwork]:
    """Find the networks in the files that are given for them.

    Raises:
      ValueError: lists the files that hold no such network.
    """
    names = {"transformer": family.transformer}
    names["transformer_low"] = family.transformers.get("low", "")
    found, problems = {}, []
    for field, path in place.parts.items():
        if field == "tokenizer":
            continue
        network = names.get(field, field)
        where = files.existing(path, field)
        there = networks_in(where, family, [network] if network else [])
        if not there:
            problems.append(
                f"{field}: {str(where)!r} does not hold one of {family.name}'s: give "
                "another file"
            )
        found |= there
    if problems:
        raise ValueError("\n".join(problems))
    return found


def open_files(place: WeightsFiles) -> StoredModel:
    """Open a transformer's file, with the other networks given or found beside it.

    Raises:
      ValueError: it holds no transformer of a known family, or lists the networks that
        are missing.
    """
    where = files.existing(place.base, "weights")
    for family in FAMILIES:
        if family.from_files is None:
            continue
        others = set(family.networks) - set(family.transformers.values())
        found = networks_in(where, family, [family.transformer, *sorted(others)])
        if family.transformer in found:
            given = given_networks(place, family)
            found |= given
            _complete(where, family, family.from_files, found)
            stored = _open(where, family, family.from_files, found, place.tokenizer)
            _refuse_unused(given, stored)
            if stored.config.boundary is None and any(x in where.name for x in HALVES):
                _logger.warning(
                    "%s seems to be one of two transformers, and makes all steps; "
                    "--transformer-low takes the low-noise one",
                    where.name,
                )
            return stored
    raise ValueError(
        f"weights {str(where)!r} hold no transformer of a known model: give the file "
        "of one, or a folder"
    )


def _refuse_unused(given: Mapping[str, FoundNetwork], stored: StoredModel) -> None:
    """Refuse files of networks that a model does not have.

    Raises:
      ValueError: names the first.
    """
    for name, one in given.items():
        if name not in stored.networks:
            raise ValueError(
                f"{name}: {stored.config.name!r} has none: leave out {str(one.file)!r}"
            )


def _complete(
    where: epath.Path,
    family: Family,
    from_files: FromFiles,
    found: dict[str, FoundNetwork],
) -> None:
    """Add what a transformer needs from the files beside it.

    Raises:
      ValueError: lists the networks of which there is none or several.
    """
    transformer = found[family.transformer].named
    needed = [name for name in from_files.needs(transformer) if name not in found]
    beside = networks_beside(where, family, needed)
    problems = []
    for network in needed:
        fitting = [
            one
            for one in beside[network]
            if from_files.fits(transformer, network, one.named)
        ]
        told = f"neither in {str(where)!r} nor beside it"
        if len(fitting) > 1:
            told = f"several beside it: {', '.join(one.file.name for one in fitting)}"
        if len(fitting) == 1:
            found[network] = fitting[0]
        else:
            problems.append(
                f"{network}: {told}: give --{network.replace('_', '-')} FILE"
            )
    if problems:
        raise ValueError("\n".join(problems))


def _open(
    where: epath.Path,
    family: Family,
    from_files: FromFiles,
    found: Mapping[str, FoundNetwork],
    tokenizer: PathLike | None,
) -> StoredModel:
    named = {network: one.named for network, one in found.items()}
    config, constants = from_files.describe(where.stem, named)
    used = family.used(config)
    layouts = {layout.name: layout for layout in family.layouts}
    return StoredModel(
        family=family,
        layout=layouts[found[family.transformer].layout],
        config=config,
        networks={
            name: found[name].opened(spec, config, constants.get(name, {}))
            for name, spec in used.items()
        },
        tokenizer=_find_tokenizer(tokenizer, found[family.contexts[TEXT]].file, where),
    )


def _find_tokenizer(
    given: PathLike | None, text_encoder: epath.Path, transformer: epath.Path
) -> epath.Path | StoredTensor:
    """Find the tokenizer: given, inside of the text encoder's file, or beside a file.

    Raises:
      ValueError: there is none.
    """
    if given is not None:
        return files.existing(given, "tokenizer")
    for name, tensor in tensors_in(text_encoder).items():
        if name.rpartition(".")[2] == EMBEDDED and tensor.dtype == "U8":
            return tensor
    for file in (text_encoder, transformer):
        for name in TOKENIZERS:
            if (path := file.parent / name).exists():
                return path
    raise ValueError(
        f"tokenizer: neither in {str(text_encoder)!r} nor beside it: give --tokenizer "
        "spiece.model, from google/umt5-xxl or tokenizer in any download of Wan"
    )


def with_files(stored: StoredModel, place: WeightsFiles) -> StoredModel:
    """Replace networks of a folder by those in files.

    Raises:
      ValueError: a file holds no such network, or the model has none.
    """
    family, networks = stored.family, dict(stored.networks)
    if place.parts and family.from_files is None:
        raise ValueError(
            f"{', '.join(place.parts)}: models of {family.name} take no files for "
            "single networks: leave them out"
        )
    given = given_networks(place, family)
    _refuse_unused(given, stored)
    for name, one in given.items():
        constants = networks[name].constants
        networks[name] = one.opened(family.networks[name], stored.config, constants)
    tokenizer = stored.tokenizer
    if place.tokenizer is not None:
        tokenizer = files.existing(place.tokenizer, "tokenizer")
    return dataclasses.replace(stored, networks=networks, tokenizer=tokenizer)
