"""Near-duplicates are found, and other clips are not."""

import msgspec
import numpy as np
from PIL import Image

from sora_jax.data import outputs
from sora_jax.data.curation import fingerprints
from sora_jax.data.curation.file_shots import curate_file
from sora_jax.data.curation.shots import Box
from tests.helpers.clips import needs_media
from tests.helpers.curated import mp4, real_frames, shot_of
from tests.helpers.textures import moving


def test_copies_are_found_and_other_clips_are_not(tmp_path):
    clips = {name: moving(seed) for seed, name in enumerate(("a", "b", "c"))}
    shots = {name: mp4(tmp_path / f"{name}.mp4", x) for name, x in clips.items()}
    small = [np.asarray(Image.fromarray(x).resize((64, 44))) for x in clips["a"]]
    shots["small"] = mp4(tmp_path / "small.mp4", np.stack(small))
    boxed = np.pad(clips["a"], ((0, 0), (10, 10), (0, 0), (0, 0)))
    shots["boxed"] = mp4(tmp_path / "boxed.mp4", boxed)
    shots["slower"] = mp4(tmp_path / "slower.mp4", clips["b"][::2], fps=12)
    gif = tmp_path / "c.gif"
    outputs.write(gif, [clips["c"]], 24)
    (shots["gif"],) = curate_file(gif, "c.gif")
    # The same shapes in other colours are another clip.
    shots["other colours"] = mp4(tmp_path / "o.mp4", clips["a"][..., [2, 0, 1]])
    shots["backwards"] = mp4(tmp_path / "back.mp4", clips["a"][::-1])
    marked = fingerprints.mark_duplicates(list(shots.values()))
    found = {name: shot.duplicate_of for name, shot in zip(shots, marked, strict=True)}
    copies = {"small": "a.mp4", "boxed": "a.mp4", "slower": "b.mp4", "gif": "c.mp4"}
    assert found == {name: copies.get(name, "") for name in shots}


@needs_media
def test_a_real_clip_encoded_again_is_a_copy(tmp_path):
    shots = []
    for name in ("horse", "generated_1"):
        for width, height in ((480, 320), (270, 180)):
            frames = real_frames(f"{name}.mp4", 16, (width, height))
            path = tmp_path / (f"{name}.mp4" if width == 480 else f"{name}_small.mp4")
            shots.append(mp4(path, frames, fps=8))
    found = [shot.duplicate_of for shot in fingerprints.mark_duplicates(shots)]
    assert found == ["", "horse.mp4", "", "generated_1.mp4"]


def test_a_copy_is_of_the_largest_and_never_of_a_copy(tmp_path):
    shot = shot_of(tmp_path / "a.mkv", moving(0))
    larger = msgspec.structs.replace
    sizes = {f"{x}.mkv": (64 + x, 96) for x in (0, 2, 1)}
    shots = [
        larger(
            shot,
            file=name,
            height=height,
            crop=Box(top=0, left=0, height=height, width=width),
        )
        for name, (height, width) in sizes.items()
    ]
    marked = fingerprints.mark_duplicates(shots)
    assert [x.duplicate_of for x in marked] == ["2.mkv", "", "2.mkv"]
    assert fingerprints.mark_duplicates([]) == []
