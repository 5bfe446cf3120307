"""The encoded clips that a DiT learns from, opened and checked."""

from __future__ import annotations

import dataclasses

from etils import epath

from sora_jax.config import DiTConfig, DiTRun, TextConfig
from sora_jax.data.records import Records
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.weights import folders, workdirs

# Settings that say how a network is computed, never what.
HOW = ("attention", "dtype", "remat", "unroll")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Encoded clips, and the tokenizer that reads their captions.

    Attributes:
      train: clips to learn from, of all folders.
      held_out: clips of the test split, of the first folder.
      tokenizer: learned from the captions, or that of `text_from`.
      hashes: what ties a run to what it reads.
    """

    train: Records
    held_out: Records
    tokenizer: Tokenizer
    hashes: dict[str, str]


def open_latents(config: DiTRun) -> Latents:
    """Open the folders of encoded clips of a run.

    Raises:
      ValueError: one holds none, its encoding did not end, its clips are not what the
        config describes, or have another VAE or rate than those of the first; names
        every field that differs.
    """
    more = [("more_latents", folder) for folder in config.more_latents]
    named = [("latents", config.latents), *more]
    raise_problems(
        [line for name, folder in named for line in _unfinished(name, folder)]
    )
    hashes = workdirs.source_hashes_of_run(config)
    tokenizer = workdirs.tokenizer_of(config)
    raise_problems(
        [line for name, folder in named for line in _unlike(config, name, folder)]
        + [line for folder in config.more_latents for line in _strange(config, folder)]
        + _unread(config, tokenizer)
    )
    return Latents(
        train=Records(*(epath.Path(folder) / "train" for _, folder in named)),
        held_out=Records(epath.Path(config.latents) / "held_out"),
        tokenizer=tokenizer,
        hashes=hashes,
    )


def raise_problems(problems: list[str]) -> None:
    """Raise a ValueError that tells all problems, if there are any."""
    if problems:
        raise ValueError("\n".join(problems))


def config_differences(
    part: str,
    ours: DiTConfig | TextConfig,
    theirs: DiTConfig | TextConfig,
    purpose: str,
) -> list[str]:
    """What two networks differ in, beside how they are computed."""
    return [
        f"{part}.{field.name} must be {getattr(theirs, field.name)} to {purpose} what "
        f"is there, got {getattr(ours, field.name)}"
        for field in dataclasses.fields(ours)
        if field.name not in HOW
        and getattr(ours, field.name) != getattr(theirs, field.name)
    ]


def _unfinished(field: str, folder: str) -> list[str]:
    """Why a folder cannot be read, or not yet."""
    try:
        encoded = workdirs.encode_run_of(folder)
        parts = {"train": ("training", encoded.data.length)}
        if field == "latents":
            parts["held_out"] = ("held-out", encoded.held_out_clips)
        found = {part: len(Records(epath.Path(folder) / part)) for part in parts}
    except ValueError as error:
        return [f"{field}: {error}"]
    return [
        f"{field}: {folder!r} holds {found[part]} of {wanted} {name} clips: start its "
        "encode command again, which continues"
        for part, (name, wanted) in parts.items()
        if found[part] < wanted
    ]


def _unlike(config: DiTRun, field: str, folder: str) -> list[str]:
    """What of the DiT does not fit the clips of a folder."""
    records, patch = Records(epath.Path(folder) / "train"), config.dit.patch
    first, clips = records[0], f"the clips of {field} {folder!r}"
    problems = [
        f"{name} must be {wanted} for {clips}, got {value}"
        for name, value, wanted in (
            ("dit.channels", config.dit.channels, first.latents.shape[-1]),
            ("dit.extra_channels", config.dit.extra_channels, first.extra.shape[-1]),
        )
        # A transformer without conditioning channels leaves them out.
        if value != wanted and (value or name != "dit.extra_channels")
    ]
    sizes = sorted({(spec.height, spec.width) for spec in records.index})
    odd = [size for size in sizes if size[0] % patch[1] or size[1] % patch[2]]
    if odd:
        problems.append(
            f"dit.patch[1:] must divide the latents of {clips}, got {patch[1:]} for "
            f"{odd}"
        )
    return problems


def _strange(config: DiTRun, folder: str) -> list[str]:
    """Why clips of another folder cannot be learned from beside those of `latents`."""
    problems = []
    ours, theirs = map(workdirs.source_hashes, (config.latents, folder))
    if theirs["VAE"] != ours["VAE"]:
        problems.append(
            f"more_latents must be clips that the VAE of {config.latents!r} encoded, "
            f"got {folder!r}: encode it with vae {config.latents!r} (EncodeRun)"
        )
    rates = [workdirs.encode_run_of(each).data.fps for each in (config.latents, folder)]
    if rates[0] != rates[1]:
        problems.append(
            f"more_latents must be clips of {rates[0]:g} frames per second, as those "
            f"of {config.latents!r} are, got {rates[1]:g} in {folder!r}: encode it "
            f"with data.fps {rates[0]:g}"
        )
    return problems


def _unread(config: DiTRun, tokenizer: Tokenizer) -> list[str]:
    """Why the text encoder cannot read what the tokenizer writes."""
    problems = []
    if config.text_from:
        theirs = folders.describe(config.text_from).text
        lines = config_differences("text", config.text, theirs, "read with")
        problems += [f"{line} (text_from {config.text_from!r})" for line in lines]
    if config.text.vocabulary < tokenizer.vocab_size:
        problems.append(
            f"text.vocabulary must be at least {tokenizer.vocab_size}, the pieces of "
            f"{config.text_from or config.latents!r}, got {config.text.vocabulary}"
        )
    return problems
