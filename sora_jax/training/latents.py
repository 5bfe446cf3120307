"""The folder that an encode run leaves, opened and checked for the DiT's training."""

from __future__ import annotations

import dataclasses
import json

from etils import epath

from sora_jax.config import DiTRun
from sora_jax.data.records import Records
from sora_jax.models.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Encoded clips and the tokenizer that learned from their captions."""

    train: Records
    held_out: Records
    tokenizer: Tokenizer


def open_latents(config: DiTRun) -> Latents:
    """Open the latents folder of a run.

    Raises:
      ValueError: there is none, its encoding did not end, or its clips are not what the
        config describes; names every field that differs.
    """
    folder = epath.Path(config.latents)
    train, held_out = Records(folder / "train"), Records(folder / "held_out")
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    encoded = json.loads((folder / "config.json").read_text())
    problems = [
        f"latents folder {config.latents!r} holds {len(found)} of {wanted} {name} "
        "clips: start its encode command again, which continues"
        for name, found, wanted in (
            ("training", train, encoded["data"]["length"]),
            ("held-out", held_out, encoded["held_out_clips"]),
        )
        if len(found) < wanted
    ]
    first = train[0]
    for name, value, wanted in (
        ("dit.channels", config.dit.channels, first.latents.shape[-1]),
        ("dit.extra_channels", config.dit.extra_channels, first.known.shape[-1]),
        ("dit.patch[0]", config.dit.patch[0], 1),
    ):
        if value != wanted:
            problems.append(
                f"{name} must be {wanted} for the clips of {config.latents!r}, "
                f"got {value}"
            )
    if config.text.vocabulary < tokenizer.vocab_size:
        problems.append(
            f"text.vocabulary must be at least {tokenizer.vocab_size}, the pieces of "
            f"{config.latents!r}, got {config.text.vocabulary}"
        )
    if problems:
        raise ValueError("\n".join(problems))
    return Latents(train=train, held_out=held_out, tokenizer=tokenizer)
