"""The npm packages that hold the clips: fetched by name, checked by hash."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from sora_jax import limits
from sora_jax.files import PathLike, is_remote, quoted

VERSION = "1.0.0"
NAME = "@lobehub/fluent-emoji-anim-{number}"
# Number of a package -> its hash, as npm's registry has it.
INTEGRITY = {
    1: "/4m31vAuZEQ4aUJ5pxcOU5PVkuJya55GRxUZL7+zgLlxZXpzzE8jPqpDyhZICE3n47nS/Y9M5/"
    "vLdizi8201QA==",
    2: "S6yzf0RZXrQbXdxCWuHA9BAoLdBRk2flX+ne4TPGEH/qApwisCAKHoAAGjKSlTY3OVeZ9b7t/"
    "NEbmpjawnQYJA==",
    3: "UzRSUDMjdfdt9vER5bhjHkPqgc3EEgfGtYs6ndvizOTvQOxYQ57ow2RTkWSDZxwW30X4EYBi2"
    "eWTS7CXDDoFsg==",
    4: "IIkl5ztSd1HrzvIDt/uGsFoC1WODXRdYq5uROrnkyqi9DbToEcJ1nlY86PnoUXeFS9nBCnHfiYk"
    "3ouSEGThFmA==",
}
_TIMEOUT = 1800.0  # seconds for one package of 180 MB


def cache_folder(data_dir: PathLike) -> Path:
    """Return where packages are kept: beside the datasets, or on this disk."""
    if is_remote(data_dir):
        return platformdirs.user_cache_path("sora_jax") / "fluent_emoji"
    return Path(data_dir) / "downloads" / "fluent_emoji"


def fetch(
    folder: PathLike, integrity: Mapping[int, str] = INTEGRITY, manual_dir: str = ""
) -> dict[int, Path]:
    """Return the archive of each package; fetches those that are missing.

    Args:
      folder: where archives are kept.
      integrity: hash of each package.
      manual_dir: a folder that holds the archives already; nothing is fetched then.

    Raises:
      ValueError: a package cannot be fetched, or differs from its hash; says what to
        put where by hand. Or there is no folder `manual_dir`.
    """
    where = Path(manual_dir or folder)
    if not manual_dir:
        where.mkdir(parents=True, exist_ok=True)
    elif not where.is_dir():
        raise ValueError(
            f"--manual_dir {quoted(manual_dir)} is no folder: check the spelling"
        )
    found, problems = {}, []
    for number, expected in integrity.items():
        archive = where / archive_name(number)
        if not archive.is_file() and not manual_dir:
            _pack(number, where)
        if not archive.is_file():
            problems.append(f"{archive} is missing")
        elif integrity_of(archive) != expected:
            problems.append(f"{archive} differs from the published package: delete it")
        found[number] = archive
    if problems:
        names = ", ".join(f"{NAME.format(number=n)}@{VERSION}" for n in integrity)
        raise ValueError(
            "\n".join(problems) + f"\nget the archives where npm's registry can be "
            f"reached ('npm pack PACKAGE' for each of {names}), put them into one "
            "folder, and give it as --manual_dir"
        )
    return found


def archive_name(number: int) -> str:
    """Return the file that `npm pack` writes."""
    name = NAME.format(number=number).lstrip("@").replace("/", "-")
    return f"{name}-{VERSION}.tgz"


def integrity_of(archive: PathLike) -> str:
    """Return the hash of a file as npm writes it: SHA-512 in base 64."""
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    return base64.b64encode(digest).decode()


def _pack(number: int, folder: Path) -> None:
    """Fetch a package with npm; what fails is reported as a missing file."""
    npm = shutil.which("npm")
    if npm is None:
        return
    package = f"{NAME.format(number=number)}@{VERSION}"
    command = [npm, "pack", "--silent", "--ignore-scripts", package]
    try:
        subprocess.run(command, cwd=folder, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return


@functools.cache
def members(archive: PathLike) -> dict[str, tuple[int, int]]:
    """Return (offset, size) of each clip in an unpacked archive, by its code points."""
    found = {}
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            name = Path(member.name)
            if (
                member.isreg()
                and name.suffix == ".webp"
                and name.parent.name == "assets"
            ):
                if member.size > limits.CLIP_BYTES:
                    raise ValueError(
                        f"{archive}: {member.name} has {member.size} bytes"
                    )
                found[name.stem] = (member.offset_data, member.size)
    return found


def unpacked(archive: Path, folder: PathLike) -> Path:
    """Return the archive without compression, for random access.

    Args:
      archive: of a package.
      folder: where it is written, once.
    """
    plain = Path(folder) / archive.with_suffix(".tar").name
    if not plain.exists() or plain.stat().st_mtime < archive.stat().st_mtime:
        plain.parent.mkdir(parents=True, exist_ok=True)
        # Another build may unpack it at the same time.
        partial = plain.with_suffix(f".{secrets.token_hex(4)}.partial")
        try:
            with gzip.open(archive) as source, open(partial, "wb") as target:
                shutil.copyfileobj(source, target)
            partial.rename(plain)
        finally:
            partial.unlink(missing_ok=True)
    return plain
