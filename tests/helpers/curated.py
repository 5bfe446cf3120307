"""Curate clips that tests write."""

import itertools

import numpy as np
from PIL import Image

from sora_jax.data import decoding, outputs
from sora_jax.data.curation.file_shots import curate_file
from sora_jax.data.curation.shots import CuratedShot
from tests.helpers.clips import write
from tests.helpers.paths import MEDIA


def shots_of(path, frames, fps=24):
    return curate_file(write(path, frames, fps), path.name)


def shot_of(path, frames, fps=24):
    (shot,) = shots_of(path, frames, fps)
    assert isinstance(shot, CuratedShot), shot
    return shot


def mp4(path, frames, fps=24):
    outputs.write(path, [frames], fps)
    (shot,) = curate_file(path, path.name)
    assert isinstance(shot, CuratedShot), shot
    return shot


def real_frames(name, count, size):
    frames = itertools.islice(decoding.decode(MEDIA / name), count)
    images = (Image.fromarray(frame.pixels()) for frame in frames)
    return np.stack([np.asarray(image.resize(size)) for image in images])
