"""The artists' animated set in small: 20 clips in four packages of the same form."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from sora_jax.datasets.fluent_emoji import packages, splits
from sora_jax.datasets.fluent_emoji.builder import EmojiRecipe
from sora_jax.datasets.fluent_emoji.characters import Character, characters

SIZE, FRAMES, MILLISECONDS = 48, 24, 42  # the real ones have 256 pixels, 72 frames
# Clips of each split in a package.
COUNTS = {splits.TRAIN: 3, splits.VALIDATION: 1, splits.COMPOSITION: 1}
OPEN = 7  # number of the one clip whose loop does not close


def chosen() -> tuple[Character, ...]:
    """The characters of the set, five of each package."""
    every = splits.split_of([c for c in characters() if c.is_in_mit_set])
    return tuple(
        character
        for number in packages.INTEGRITY
        for split, count in COUNTS.items()
        for character in [c for c in every[split] if c.package == number][:count]
    )


def clip(number: int) -> bytes:
    """An animated WebP of a ball that goes round once, on nothing."""
    rows, columns = np.indices((SIZE, SIZE))
    turns = np.arange(FRAMES) / FRAMES / (2 if number == OPEN else 1)
    radius = SIZE / (4 if number == OPEN else 24)
    images = []
    for turn in turns:
        angle = 2 * np.pi * (turn + number / 20)
        row, column = SIZE / 2 + radius * np.array([np.sin(angle), np.cos(angle)])
        far = np.hypot(rows - row, columns - column)
        pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
        pixels[..., :3] = (12 * number, 90, 240 - 10 * number)
        pixels[..., 3] = np.clip((SIZE / 4 - far) * 255, 0, 255)
        images.append(Image.fromarray(pixels))
    file = io.BytesIO()
    images[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=MILLISECONDS,
        loop=0,
        quality=90,
    )
    return file.getvalue()


def write_packages(folder: Path) -> dict[int, str]:
    """Write the packages as npm packs them; return the hash of each."""
    folder.mkdir(parents=True, exist_ok=True)
    members = list(enumerate(chosen()))
    for package in packages.INTEGRITY:
        archive = folder / packages.archive_name(package)
        with tarfile.open(archive, "w:gz") as tar:
            _add(tar, "package/package.json", b"{}")
            for number, character in members:
                if character.package == package:
                    _add(tar, f"package/assets/{character.file}.webp", clip(number))
    return {
        number: packages.integrity_of(folder / packages.archive_name(number))
        for number in packages.INTEGRITY
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def recipe(folder: Path) -> EmojiRecipe:
    """Write the packages into a folder, and return the recipe of their clips."""
    integrity = write_packages(folder)
    fetched = packages.fetch(folder, integrity, manual_dir=str(folder))
    archives = {
        number: packages.unpacked(path, folder / "cache")
        for number, path in fetched.items()
    }
    return EmojiRecipe(archives, among=frozenset(each.file for each in chosen()))
