"""Tone-map HDR and wide-gamut videos to BT.709.

Diffuse white, at 203 cd/m2 (ITU-R BT.2408), becomes white; highlights are compressed
into the remaining range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8, UInt16

# Code points of ITU-T H.273: transfer characteristics, then colour primaries.
PQ, HLG = 16, 18
WHITE = 203.0  # cd/m2
PEAK = 1000.0  # cd/m2, of the display for which HLG is graded
GAMMA = 2.4  # of a common screen (BT.1886)
# Light above this (white is 1) is compressed.
KNEE = 0.95
# Linear light of wide primaries to that of BT.709, all with white D65.
TO_BT709 = {
    9: (  # BT.2020 (ITU-R BT.2087)
        (1.6605, -0.5876, -0.0728),
        (-0.1246, 1.1329, -0.0083),
        (-0.0182, -0.1006, 1.1187),
    ),
    12: (  # Display P3 (SMPTE EG 432)
        (1.2249, -0.2247, 0.0),
        (-0.0420, 1.0419, 0.0),
        (-0.0197, -0.0786, 1.0979),
    ),
}

Conversion = Callable[[UInt16[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h w 3"]]


def conversion(transfer: int, primaries: int) -> Conversion | None:
    """Return the conversion of pixels to BT.709; None if they are SDR already."""
    matrix = TO_BT709.get(int(primaries))
    if int(transfer) not in (PQ, HLG) and matrix is None:
        return None
    codes = np.linspace(0, 1, 2**16)
    table = {PQ: pq, HLG: hlg}.get(int(transfer), lambda x: x**GAMMA)(codes)
    table = table.astype(np.float32)

    def to_screen(pixels: UInt16[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        light = table[pixels]
        if int(transfer) == HLG:
            light = apply_ootf(light)
        if matrix is not None:
            light = light @ np.array(matrix, np.float32).T
        if int(transfer) in (PQ, HLG):
            light = compress_highlights(light)
        shown = np.clip(light, 0, 1) ** np.float32(1 / GAMMA)
        return np.rint(shown * 255).astype(np.uint8)

    return to_screen


def pq(codes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Decode PQ values (SMPTE ST 2084) to display light, with white as 1."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    root = codes ** (1 / m2)
    return (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10_000 / WHITE


def hlg(codes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Decode hybrid log-gamma values (ITU-R BT.2100) to scene light in [0, 1]."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)


def apply_ootf(scene: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Map scene light to display light, with white as 1 (BT.2100's OOTF)."""
    weights = np.array((0.2627, 0.6780, 0.0593), np.float32)
    luminance = (scene @ weights)[..., None]
    return scene * luminance ** np.float32(0.2) * np.float32(PEAK / WHITE)


def compress_highlights(
    light: Float[np.ndarray, "h w 3"],
) -> Float[np.ndarray, "h w 3"]:
    """Compress bright light; keep dark values, and order and hue of bright ones."""
    brightest = light.max(axis=-1, keepdims=True)
    room = np.float32(1 - KNEE)
    above = np.maximum(brightest - np.float32(KNEE), 0) / room
    target = np.float32(KNEE) + room * (1 - np.exp(-above))
    return np.where(above > 0, light * (target / np.maximum(brightest, 1e-6)), light)
