"""Open and check the encoded clips of a DiT run."""

from __future__ import annotations

import dataclasses

from etils import epath

from sora_jax.config import DiTConfig, DiTRun, TextConfig
from sora_jax.data.pipeline import Encode
from sora_jax.data.records import Records
from sora_jax.data.text_states import TextStates
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.weights import folders, workdirs

# Fields that change how a network is computed, but not its result.
HOW = ("attention", "dtype", "remat", "unroll")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Encoded clips, and the tokenizer of their captions.

    Attributes:
      train: training clips of all folders.
      held_out: clips of the test split, of the first folder.
      tokenizer: learned from the captions, or that of `text_from`.
      encode: (text, length) -> token ids, or cached text states.
      hashes: of the input files.
    """

    train: Records
    held_out: Records
    tokenizer: Tokenizer
    encode: Encode
    hashes: dict[str, str]


def open_latents(config: DiTRun) -> Latents:
    """Open the folders of encoded clips of a run.

    Raises:
      ValueError: a folder has no clips, is incomplete, does not match the config, or
        has another VAE or frame rate than the first; names every field that differs.
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
        encode=_text_states(config, hashes) if config.text_states else tokenizer.encode,
        hashes=hashes,
    )


def _text_states(config: DiTRun, hashes: dict[str, str]) -> TextStates:
    """Open the cached text states of all folders."""
    states = TextStates(config.latents, *config.more_latents)
    if states.encoder != hashes["text encoder"]:
        raise ValueError(
            f"text_states of {config.latents!r} are of another encoder than that of "
            f"text_from {config.text_from!r}: encode its clips with this text_from"
        )
    return states


def raise_problems(problems: list[str]) -> None:
    """Raise a ValueError that lists problems, if there are any."""
    if problems:
        raise ValueError("\n".join(problems))


def config_differences(
    part: str,
    config: DiTConfig | TextConfig,
    expected: DiTConfig | TextConfig,
    purpose: str,
) -> list[str]:
    """List the fields in which a network's config differs from the expected one."""
    return [
        f"{part}.{field.name} must be {getattr(expected, field.name)} to {purpose} the "
        f"existing weights, got {getattr(config, field.name)}"
        for field in dataclasses.fields(config)
        if field.name not in HOW
        and getattr(config, field.name) != getattr(expected, field.name)
    ]


def _unfinished(field: str, folder: str) -> list[str]:
    """List problems of a folder that is missing or incomplete."""
    try:
        encoded = workdirs.encode_run_of(folder)
        counts = workdirs.clip_counts(folder, encoded)
        parts = {"train": ("training", counts["train"])}
        if field == "latents":
            parts["held_out"] = ("held-out", counts["held_out"])
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
    """List fields of the DiT that do not match the clips of a folder."""
    records, patch = Records(epath.Path(folder) / "train"), config.dit.patch
    first, clips = records[0], f"the clips of {field} {folder!r}"
    problems = [
        f"{name} must be {wanted} for {clips}, got {value}"
        for name, value, wanted in (
            ("dit.channels", config.dit.channels, first.latents.shape[-1]),
            ("dit.extra_channels", config.dit.extra_channels, first.extra.shape[-1]),
        )
        # A transformer without conditioning channels ignores them.
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
    """List problems of using another folder's clips beside those of `latents`."""
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
    """List fields of the text encoder that do not match the tokenizer."""
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
