"""Which published repositories can be downloaded, for messages."""

from __future__ import annotations

import re

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
# Of models whose layouts are read.
PUBLISHED = (
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "Wan-AI/Wan2.1-T2V-14B-Diffusers",
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
    "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
    "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
    "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
    "Wan-AI/Wan2.1-VACE-14B-diffusers",
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    "BestWishYsh/Helios-Base",
    "BestWishYsh/Helios-Mid",
    "BestWishYsh/Helios-Distilled",
)


def download_hint(name: str) -> str:
    """Say how to download what looks like the name of a repository; else ""."""
    if not REPOSITORY.fullmatch(name):
        return ""
    short = name.partition("/")[2]
    close = [each for each in PUBLISHED if each.lower().startswith(name.lower())]
    # The original layout holds pickles; diffusers' holds none.
    chosen = close[0] if close else name
    return (
        f"; to get the repository: hf download {chosen} --local-dir {short}, then give "
        f"--weights {short}"
    )
