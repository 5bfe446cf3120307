"""Boxes around objects, and the crops that training cuts there."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from sora_jax.config import PlaygroundConfig
from sora_jax.data.video import crop_around, to_float, to_uint8
from sora_jax.worlds.playground import render
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.source import Playground

CLIPS = Playground(
    PlaygroundConfig(split="test", frames=((1, 0.1), (9, 0.5), (17, 0.4)))
)


def without_objects(scene):
    return dataclasses.replace(
        scene,
        stretches=tuple(
            dataclasses.replace(stretch, bodies=()) for stretch in scene.stretches
        ),
    )


def test_object_boxes_hold_every_object():
    for index in range(12):
        scene = CLIPS[index].scene
        bare = render.render(without_objects(scene))
        differs = (render.render(scene) != bare).any(axis=-1)
        boxes = ndimage.binary_dilation(object_boxes(scene), np.ones((1, 3, 3)))
        assert not np.logical_and(differs, np.logical_not(boxes)).any()


def test_a_crop_shows_an_object():
    for index in range(12):
        sample = CLIPS[index]
        mask = object_boxes(sample.scene)
        crop, empty = (
            to_float(
                crop_around(to_uint8(pixels), mask, 32, np.random.default_rng(index))
            )
            for pixels in (
                sample.clip.pixels,
                render.render(without_objects(sample.scene)),
            )
        )
        assert crop.shape == (sample.scene.frames, 32, 32, 3)
        # Some pixel of the crop must differ from the clip without its objects.
        assert np.abs(crop - empty).max() > 0.1
