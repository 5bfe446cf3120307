"""Find the clips of a folder and what is said of them, before any is decoded."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping

from etils import epath

from sora_jax import files, limits
from sora_jax.data.sources import sidecars
from sora_jax.data.sources.archives import Member, read_archive
from sora_jax.data.sources.listing import (
    MEDIA,
    TABLES,
    LeftOut,
    list_folder,
    stem_of,
    suffix_of,
    told,
)
from sora_jax.data.sources.sidecars import Label
from sora_jax.files import PathLike, quoted

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundClip:
    """A clip of a folder.

    Attributes:
      name: within the folder; of a member, after the name of its archive.
      path: of its file, or of the archive.
      member: where it lies in the archive; None if it is a file of its own.
      label: its captions and scores.
    """

    name: str
    path: str
    member: Member | None = None
    label: Label = Label()

    def size(self) -> int:
        """Return the number of bytes of the clip; 0 if it cannot be found out."""
        if self.member is not None:
            return self.member.size
        try:
            return epath.Path(self.path).stat().length
        except OSError:
            return 0

    def read(self) -> bytes:
        """Return the bytes of the clip.

        Raises:
          ValueError: the file is gone, cannot be read, or is too large.
        """
        if self.member is None:
            return files.read_bytes(self.path, "clip", limits.CLIP_BYTES)
        return read_member(epath.Path(self.path), self.member, self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderScan:
    """What a folder holds.

    Attributes:
      root: the folder.
      clips: in the order of their names.
      left_out: files that are not taken.
      without_clip: captions whose clip is not there.
    """

    root: str
    clips: tuple[FoundClip, ...]
    left_out: tuple[LeftOut, ...] = ()
    without_clip: tuple[str, ...] = ()


def scan_folder(folder: PathLike, field: str = "data.path") -> FolderScan:
    """Find clips and captions, in all forms; warn once of what has no counterpart.

    Args:
      folder: on this disk, or in a bucket.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: it is no folder, holds no clip, or a table cannot be read.
    """
    listing = list_folder(folder, field)
    clips, left_out = [], list(listing.left_out)
    for name, path in listing.files.items():
        if suffix_of(name) in MEDIA:
            clips.append(FoundClip(name=name, path=str(path)))
    labels = _tables(listing.files, field)
    texts = {
        name: _reader(path, field)
        for name, path in listing.files.items()
        if suffix_of(name) == "txt"
    }
    for name, path in listing.files.items():
        if suffix_of(name) == "tar":
            try:
                inside, refused = _archive(name, path, texts, field)
            except (OSError, ValueError) as error:  # a pipe, or a link to nothing
                left_out.append(LeftOut(name, str(error)))
                continue
            clips, left_out = clips + inside, left_out + refused
    if not clips:
        raise _nothing(folder, field, left_out)
    labelled, without_clip, unread = _labelled(clips, labels, texts)
    scan = FolderScan(
        root=str(folder),
        clips=labelled,
        left_out=(*left_out, *unread),
        without_clip=without_clip,
    )
    warn(scan)
    return scan


def _nothing(folder: PathLike, field: str, left_out: list[LeftOut]) -> ValueError:
    reasons = "".join(f"\n  {each.name}: {each.reason}" for each in left_out[:5])
    return ValueError(
        f"{field} {quoted(folder)} holds no video and no picture: give a folder of "
        "files such as .mp4, .webm, .gif or .png (docs/your_data.md lists all), or of "
        f"WebDataset's .tar{reasons}"
    )


def warn(scan: FolderScan) -> None:
    """Log one warning of clips without captions, and of captions without clips."""
    silent = [clip.name for clip in scan.clips if not clip.label.texts]
    parts = []
    if silent:
        parts.append(f"clips without a caption: {len(silent)} ({told(silent)})")
    if scan.without_clip:
        number = len(scan.without_clip)
        parts.append(f"captions without a clip: {number} ({told(scan.without_clip)})")
    if scan.left_out:
        names = [each.name for each in scan.left_out]
        reason = scan.left_out[0].reason
        parts.append(f"files left out: {len(names)} ({told(names)}: {reason})")
    if parts:
        _logger.warning("%s: %s", scan.root, "; ".join(parts))


# --- captions ------------------------------------------------------------------------

Reader = Callable[[], Label]


def _tables(paths: Mapping[str, epath.Path], field: str) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    for name, path in paths.items():
        if name.rpartition("/")[2] in TABLES:
            text = files.read_text(path, field)
            table = sidecars.read_table(text, name, f"{field} {quoted(path)}")
            for clip, label in table.items():
                labels[clip] = labels.get(clip, Label()) + label
    return labels


def _reader(path: epath.Path, field: str) -> Reader:
    return lambda: sidecars.from_lines(files.read_text(path, field))


def _archive(
    name: str, path: epath.Path, texts: dict[str, Reader], field: str
) -> tuple[list[FoundClip], list[LeftOut]]:
    """Find the clips of an archive; add the readers of its captions to `texts`."""
    archive = read_archive(path, name)
    clips = []
    for inside, member in archive.members.items():
        full = f"{name}/{inside}"
        if suffix_of(inside) in MEDIA:
            clips.append(FoundClip(name=full, path=str(path), member=member))
        else:
            texts[full] = _member_reader(path, member, full, field)
    return clips, list(archive.left_out)


def _member_reader(path: epath.Path, member: Member, name: str, field: str) -> Reader:
    def read() -> Label:
        named = f"{field} {quoted(name)}"
        if member.size > limits.TEXT_BYTES:
            raise ValueError(f"{named} is larger than {limits.TEXT_BYTES} bytes")
        text = sidecars.text_of(read_member(path, member, name), named)
        is_json = suffix_of(name) == "json"
        return sidecars.from_json(text, named) if is_json else sidecars.from_lines(text)

    return read


def read_member(path: epath.Path, member: Member, name: str) -> bytes:
    """Return the content of a member.

    Raises:
      ValueError: the archive is gone, or shorter than it was.
    """
    try:
        with path.open("rb") as file:
            file.seek(member.offset)
            content = file.read(member.size)
    except OSError as error:
        raise ValueError(
            f"{quoted(name)} cannot be read ({error.strerror or error})"
        ) from error
    if len(content) != member.size:
        raise ValueError(f"{quoted(name)} is cut off: its archive has changed")
    return content


def _labelled(
    clips: list[FoundClip], labels: dict[str, Label], texts: Mapping[str, Reader]
) -> tuple[tuple[FoundClip, ...], tuple[str, ...], list[LeftOut]]:
    """Join clips with their captions.

    Returns:
      The clips, names of captions without a clip, and texts that cannot be read.
    """
    by_stem: dict[str, list[str]] = {}
    for name in texts:
        by_stem.setdefault(stem_of(name), []).append(name)
    used: set[str] = set()
    labelled, unread = [], {}
    for clip in sorted(clips, key=lambda clip: clip.name):
        label = Label()
        for name in by_stem.get(stem_of(clip.name), ()):
            used.add(name)
            try:
                label += texts[name]()
            except ValueError as error:
                unread[name] = LeftOut(name, str(error))
        if clip.name in labels:
            used.add(clip.name)
            label += labels[clip.name]
        labelled.append(dataclasses.replace(clip, label=label))
    left = sorted({*texts, *labels} - used)
    return tuple(labelled), tuple(left), list(unread.values())
