"""The clips of a folder as a clip store: files and archives, with their captions."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sora_jax import hashes
from sora_jax.data.sources.folder_scan import FolderScan, FoundClip, scan_folder
from sora_jax.data.sources.listing import LeftOut
from sora_jax.data.sources.probing import probe
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.files import PathLike, quoted
from sora_jax.types import Caption

TRAIN, VALIDATION, ALL = "train", "validation", "all"
HELD_OUT = 0.05  # share of clips in the split for validation
THREADS = 4  # that measure clips; decoders run outside of Python's lock
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderClip:
    """A clip that can be read, measured.

    Attributes:
      found: where it is.
      stored: its metadata.
    """

    found: FoundClip
    stored: StoredSpec


@dataclasses.dataclass(frozen=True)
class FolderStore:
    """The clips of a folder (see `ClipStore`).

    Attributes:
      clips: in the order of their names.
      left_out: clips that cannot be read.
    """

    clips: tuple[FolderClip, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def describe(self, index: int) -> StoredSpec:
        """Return the metadata of a clip."""
        return self.clips[index].stored

    def content(self, index: int) -> bytes:
        """Return the bytes of a clip.

        Raises:
          ValueError: it is gone, or has changed.
        """
        clip = self.clips[index]
        content = clip.found.read()
        if len(content) != clip.stored.file_size:
            raise ValueError(
                f"{quoted(clip.stored.name)} had {clip.stored.file_size} bytes when "
                f"the folder was opened, and has {len(content)} now: start again"
            )
        return content


def open_folder(
    folder: PathLike, split: str = TRAIN, *, field: str = "data.path"
) -> FolderStore:
    """Find and measure the clips of a folder.

    Args:
      folder: on this disk, or in a bucket.
      split: "train", "validation" (one in twenty, by name) or "all".
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the folder has no clip that can be read, or a caption file cannot.
    """
    scan = scan_folder(folder, field)
    names = split_names([clip.name for clip in scan.clips]).get(split)
    if names is None:
        raise ValueError(
            f"the split of a folder must be {TRAIN}, {VALIDATION} or {ALL}, got "
            f"{quoted(split)}"
        )
    wanted = set(names)
    store = measure(scan, [clip for clip in scan.clips if clip.name in wanted])
    if wanted and not store.clips:
        reasons = "".join(
            f"\n  {each.name}: {each.reason}" for each in store.left_out[:5]
        )
        raise ValueError(
            f"{field} {quoted(folder)}: none of {len(wanted)} clips of split "
            f"{split!r} can be read; give other files{reasons}"
        )
    return store


def measure(scan: FolderScan, clips: Sequence[FoundClip]) -> FolderStore:
    """Measure clips in threads; those that cannot be read are left out, and listed."""
    with ThreadPoolExecutor(THREADS) as pool:
        measured = list(pool.map(_measured, clips))
    bad = tuple(each for each in measured if isinstance(each, LeftOut))
    if bad:
        lines = "".join(f"\n  {each.name}: {each.reason}" for each in bad)
        _logger.warning(
            "%s: clips that cannot be read: %d%s", scan.root, len(bad), lines
        )
    good = tuple(each for each in measured if isinstance(each, FolderClip))
    return FolderStore(good, (*scan.left_out, *bad))


def _measured(found: FoundClip) -> FolderClip | LeftOut:
    try:
        content = found.read()
        stored = stored_spec(found, content)
    except ValueError as error:
        return LeftOut(found.name, str(error))
    return FolderClip(found=found, stored=stored)


def stored_spec(found: FoundClip, content: bytes) -> StoredSpec:
    """Measure a clip, and add what is said of it.

    Raises:
      ValueError: it cannot be read, or has no frames.
    """
    spec = probe(content, quoted(found.name))
    said = ()
    if found.label.texts:
        said = (Caption(texts=found.label.texts, start=0, stop=spec.frames),)
    scores = dict(found.label.scores)
    spec = dataclasses.replace(spec, captions=said, scores=scores)
    return StoredSpec(
        name=found.name,
        spec=spec,
        file_size=len(content),
        file_hash=hashes.of_bytes(content),
    )


def split_names(names: Sequence[str]) -> dict[str, list[str]]:
    """Divide clips by the hash of their names, which more clips do not change.

    Of two clips or more, at least one is in either split: where no hash is low enough,
    the lowest one is held out, until a clip with a lower one is added.
    """
    ordered = sorted(names, key=_place)
    held = sum(_place(name) < HELD_OUT for name in names)
    held = max(min(held, len(names) - 1), min(1, len(names) - 1), 0)
    chosen = set(ordered[:held])
    return {
        TRAIN: [name for name in names if name not in chosen],
        VALIDATION: [name for name in names if name in chosen],
        ALL: list(names),
    }


def _place(name: str) -> float:
    """Return a number in [0, 1) that only the name decides."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
