"""`Captioner`, the protocol of what describes clips, and captions that are given."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Protocol, runtime_checkable

import msgspec
import numpy as np
from jaxtyping import UInt8
from msgspec import Meta

# Characters of one caption.
LONGEST = 10_000
Text = Annotated[str, Meta(max_length=LONGEST)]


class Captions(msgspec.Struct, frozen=True, kw_only=True):
    """Captions of a clip in three forms; "" for a form that is missing.

    Attributes:
      short: one phrase, as users write prompts.
      dense: what is seen and how it changes, in several sentences.
      camera: how the camera is held and moves.
    """

    short: Text
    dense: Text = ""
    camera: Text = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hint:
    """What is told about a clip besides its frames.

    Attributes:
      id: see `shots.CuratedShot.id`.
      text: such as its title, or an earlier caption; may be empty.
    """

    id: str
    text: str = ""


@runtime_checkable  # for the type checks of the tests
class Captioner(Protocol):
    """Describes clips; may be called by several threads."""

    def caption(
        self, frames: UInt8[np.ndarray, "t h w 3"], fps: float, hint: Hint
    ) -> Captions:
        """Describe a clip.

        Args:
          frames: sampled evenly.
          fps: sampled frames per second; 0 of a picture.
          hint: the clip's id, and what is told about it.

        Raises:
          ValueError: there is no caption for this clip.
        """
        ...


@dataclasses.dataclass(frozen=True)
class GivenCaptions:
    """A captioner that looks captions up, for texts that came with the clips.

    Attributes:
      texts: captions by clip id.
    """

    texts: Mapping[str, str]

    def caption(
        self, frames: UInt8[np.ndarray, "t h w 3"], fps: float, hint: Hint
    ) -> Captions:
        """Return the clip's text, as its short caption if it is of one sentence."""
        del frames, fps
        text = " ".join(self.texts.get(hint.id, "").split())
        if not text:
            raise ValueError(f"no text is given for clip {hint.id!r}")
        if re.search(r"[.!?] ", text):
            return Captions(short=re.split(r"(?<=[.!?]) ", text)[0], dense=text)
        return Captions(short=text)


_SUBJECT = (
    r"(?:(?:this|the|a|an|in|our)\s+)*(?:short\s+|brief\s+|given\s+|provided\s+)?"
)
_SUBJECT += (
    r"(?:video|clip|footage|film|scene|sequence|animation|image|picture|frames?)"
)
_SUBJECT += r"(?:\s+(?:clip|footage|sequence|frames?))?"
_VERB = r"(?:shows?|depicts?|captures?|features?|presents?|displays?|portrays?|"
_VERB += r"showcases?|illustrates?|is\s+about|is\s+of|begins?\s+with|opens?\s+with|"
_VERB += r"starts?\s+with|consists?\s+of|contains?|,?\s*(?:we|you|one|there)\s+"
_VERB += r"(?:can\s+)?(?:see|sees|is|are))"
OPENING = re.compile(rf"^\s*{_SUBJECT}\s*{_VERB}\s*[,:]?\s+", re.IGNORECASE)


def without_opening(text: str) -> str:
    """Strip openings such as "The video shows", and join lines.

    Users do not write them, and a model would learn that every caption has them.
    """
    text = " ".join(text.split())
    stripped = OPENING.sub("", text)
    if stripped == text or not stripped:
        return text
    return stripped[0].upper() + stripped[1:]
