"""The dataset `video_folder`: somebody's clips, with the captions beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import msgspec

from sora_jax.data.cutting import Cut, cut
from sora_jax.data.sources.folder import ALL, split_names, stored_spec
from sora_jax.data.sources.folder_scan import FolderScan, FoundClip
from sora_jax.data.sources.probing import probe
from sora_jax.data.sources.sidecars import Label
from sora_jax.datasets.builder import ClipDataset
from sora_jax.datasets.records import StoredClip
from sora_jax.files import quoted


class VideoFolder(ClipDataset):
    """Clips and pictures of a folder: their files as they are, or their shots."""


class Box(Protocol):
    """A part of a frame, in pixels of the displayed size."""

    top: int
    left: int
    height: int
    width: int


class Shot(Protocol):
    """A stretch of a file without cuts, as `sora-jax data curate` writes it."""

    @property
    def id(self) -> str:
        """Name of the clip, unique in the folder."""
        ...

    @property
    def file(self) -> str:
        """Path within the folder, with slashes."""
        ...

    shots: int  # of the file
    start_seconds: float
    stop_seconds: float
    height: int
    width: int
    fps: float  # 0 of a picture
    crop: Box
    is_loop: bool
    scores: Any
    duplicate_of: str
