"""The records of captions: one line of JSON for each clip.

`sora-jax data caption` writes them, and builders of datasets read them with
`read_captions`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sora_jax.data.curation import journal
from sora_jax.data.curation.captioner import Captions
from sora_jax.files import PathLike

# Of how frames are sampled and answers are read: other clips are captioned again.
VERSION = 1


class CaptionedClip(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="captions",
):
    """The captions of a clip.

    Attributes:
      id: see `shots.CuratedShot.id`.
      hash: of its file.
      captions: its three forms.
      model: that wrote them.
      prompt: hash of the prompt that was given.
      version: of how frames are sampled and answers are read.
    """

    id: str
    hash: str
    captions: Captions
    model: str
    prompt: str
    version: int = VERSION


class UncaptionedClip(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="error",
):
    """A clip without captions, and why; the next run tries again."""

    id: str
    error: Annotated[str, Meta(max_length=2000)]


Line: TypeAlias = CaptionedClip | UncaptionedClip


def read_captions(
    path: PathLike, *, field: str = "--captions"
) -> dict[str, CaptionedClip]:
    """Read captions by clip id; clips without captions are left out.

    Raises:
      ValueError: the file is missing, or a line is damaged.
    """
    lines = journal.read(path, Line, field=field)
    return {line.id: line for line in lines if isinstance(line, CaptionedClip)}
