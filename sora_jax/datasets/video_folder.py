"""The dataset `video_folder`: somebody's clips, with the captions beside them."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from sora_jax import hashes
from sora_jax.data.curation.captions import CaptionedClip, read_captions
from sora_jax.data.curation.shots import CuratedShot, read_curation
from sora_jax.data.cutting import Cut, crop_picture, cut
from sora_jax.data.sources.folder import ALL, split_names, stored_spec
from sora_jax.data.sources.folder_scan import FolderScan, FoundClip, scan_folder
from sora_jax.data.sources.listing import told
from sora_jax.data.sources.sidecars import Label
from sora_jax.datasets.builder import ClipDataset
from sora_jax.datasets.records import StoredClip
from sora_jax.files import PathLike, quoted

_logger = logging.getLogger(__name__)


class VideoFolder(ClipDataset):
    """Clips and pictures of a folder: their files as they are, or their shots."""


@dataclasses.dataclass(frozen=True)
class FolderRecipe:
    """The clips of a folder, or the shots that were found in them.

    Attributes:
      scan: what the folder holds.
      shots: of a curation; if there are none, each file is a clip.
      captions: by the names of clips, beside those of the folder.
    """

    scan: FolderScan
    shots: tuple[CuratedShot, ...] = ()
    captions: Mapping[str, CaptionedClip] = dataclasses.field(default_factory=dict)

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Return the names of the clips of each split; a file's shots are in one."""
        if not self.shots:
            chosen = split_names(list(self._found))
        else:
            files = split_names(sorted({shot.file for shot in self.shots}))
            chosen = {
                split: self._ids_within(set(names)) for split, names in files.items()
            }
        return {split: names for split, names in chosen.items() if split != ALL}

    def inputs(self) -> Any:
        """Return sizes and labels of the files, the shots, and the captions."""
        files = [
            (found.name, found.size(), *dataclasses.astuple(found.label))
            for found in self.scan.clips
        ]
        told = {"files": files, "shots": self.shots, "captions": dict(self.captions)}
        return msgspec.to_builtins(told)

    def clip(self, key: str) -> StoredClip:
        """Read a clip: its file, or a shot cut out of it.

        Raises:
          ValueError: it cannot be read.
        """
        shot = self._shots.get(key)
        found = self._found[shot.file if shot else key]
        line = self.captions.get(self._captioned(key))
        if shot is not None:
            self._refuse_changed(found, shot.hash, "curated")
        if line is not None:
            self._refuse_changed(found, line.hash, "captioned")
        label = _label(found, shot, line)
        content = found.read() if shot is None else _shot_content(found, shot)
        found = dataclasses.replace(found, name=key, label=label)
        stored = stored_spec(found, content)
        if shot is not None:
            stored = dataclasses.replace(stored, is_loop=shot.is_loop)
        return StoredClip(stored=stored, content=content)

    def _ids_within(self, files: set[str]) -> list[str]:
        return [shot.id for shot in self.shots if shot.file in files]

    @cached_property
    def _found(self) -> dict[str, FoundClip]:
        return {clip.name: clip for clip in self.scan.clips}

    @cached_property
    def _shots(self) -> dict[str, CuratedShot]:
        return {shot.id: shot for shot in self.shots}

    def _captioned(self, key: str) -> str:
        """Return the id of the captions of a clip.

        Those of a whole file are those of its only shot.
        """
        shot = self._shots.get(key)
        if shot is None or key in self.captions or self._counts[shot.file] > 1:
            return key
        return shot.file

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(shot.file for shot in self.shots)

    def unused_captions(self) -> list[str]:
        """Return the ids of captions that no clip has."""
        keys = [key for names in self.splits().values() for key in names]
        return sorted(set(self.captions) - set(map(self._captioned, keys)))

    def _refuse_changed(self, found: FoundClip, kept: str, done: str) -> None:
        """Refuse a file that is another than it was.

        Raises:
          ValueError: its hash is another.
        """
        if not kept or found.member is not None:
            return
        if found.name not in self._hashes:
            self._hashes[found.name] = hashes.of_file(found.path)
        if hashes.differ(kept, self._hashes[found.name]):
            raise ValueError(
                f"{quoted(found.name)} has changed since it was {done}: run the same "
                "command of 'sora-jax data' for it again"
            )

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """Hashes of the files of shots, of which each is read once."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tables behind, for worker processes."""
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }


def folder_recipe(
    folder: PathLike,
    curation: PathLike = "",
    captions: PathLike = "",
    field: str = "--from",
) -> FolderRecipe:
    """Scan a folder, and read what was found out about its clips.

    Args:
      folder: on this disk, or in a bucket.
      curation: what `sora-jax data curate` wrote; "" if nothing.
      captions: what `sora-jax data caption` wrote; "" if nothing.
      field: the flag that error messages name for the folder.

    Raises:
      ValueError: the folder has no clip, a table is damaged, or is of another folder.
    """
    scan = scan_folder(folder, field)
    shots = read_curation(curation) if curation else []
    if curation and not shots:
        raise ValueError(f"--curation {quoted(curation)} has no shot: curate again")
    names = {clip.name for clip in scan.clips}
    strangers = sorted({shot.file for shot in shots} - names)
    if strangers:
        raise ValueError(
            f"--curation {quoted(curation)} names {len(strangers)} files that are not "
            f"in {quoted(folder)} ({told(strangers)}): curate this folder again"
        )
    said = read_captions(captions) if captions else {}
    recipe = FolderRecipe(scan, tuple(shots), said)
    if unused := recipe.unused_captions():
        _logger.warning(
            "--captions %s: captions without a clip: %d (%s)",
            captions,
            len(unused),
            told(unused),
        )
    return recipe


def _label(
    found: FoundClip, shot: CuratedShot | None, line: CaptionedClip | None
) -> Label:
    """Join what is said of a clip.

    What is said of a whole file is said of one of its shots only if nothing else is.
    """
    written = _written(line) if line is not None else Label()
    if shot is None:
        return found.label + written
    label = found.label
    if shot.shots > 1 and written.texts:
        label = Label(scores=label.scores)
    return label + written + Label(scores=_scores(shot))


def _written(line: CaptionedClip) -> Label:
    """Return the forms of a caption that a model has written."""
    forms = line.captions
    texts = (forms.short, forms.dense, f"{forms.dense} {forms.camera}")
    return Label(tuple(text.strip() for text in texts if text.strip()))


def _shot_content(found: FoundClip, shot: CuratedShot) -> bytes:
    """Return a shot; the bytes of the file if this is the shot.

    Raises:
      ValueError: the file cannot be read, or is too large to be kept as it is.
    """
    if shot.shots == 1 and not shot.has_borders:
        return found.read()
    part = Cut(
        start=shot.start_seconds,
        stop=shot.stop_seconds,
        top=shot.crop.top,
        left=shot.crop.left,
        height=shot.crop.height,
        width=shot.crop.width,
    )
    if not shot.fps:
        return crop_picture(found.read(), quoted(shot.id), part)
    # From the disk, since long footage may be larger than memory.
    source = found.path if found.member is None else found.read()
    return cut(source, quoted(shot.id), part, shot.fps)


def _scores(shot: CuratedShot) -> dict[str, float]:
    """Return a shot's measures, and what is told of it as 0 or 1."""
    flags = {
        "is_still": shot.is_still,
        "is_loop": shot.is_loop,
        "is_duplicate": bool(shot.duplicate_of),
    }
    measures = msgspec.to_builtins(shot.scores)
    return {name: float(value) for name, value in {**measures, **flags}.items()}
