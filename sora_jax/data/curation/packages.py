"""The packages of the extra `curation`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

# Modules, and the packages that they are in.
CURATION = {
    "scenedetect": "scenedetect-headless",
    "imagehash": "ImageHash",
    "pebble": "Pebble",
}
CAPTIONING = {"httpx": "httpx", "tenacity": "tenacity"}


def require_curation() -> None:
    """Check that the packages are there that find shots and copies.

    Raises:
      ValueError: some are not.
    """
    _require(CURATION)


def require_captioning() -> None:
    """Check that the packages are there that ask an endpoint for captions.

    Raises:
      ValueError: some are not.
    """
    _require(CAPTIONING)


def _require(packages: dict[str, str]) -> None:
    missing = [packages[name] for name in packages if not _is_there(name)]
    if missing:
        raise ValueError(
            f"{_and(missing)} {'are' if len(missing) > 1 else 'is'} not installed: "
            "pip install 'sora_jax[curation]'"
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a test takes it away
        return False


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
