"""The tasks as methods that take clips and return one."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, get_args

from sora_jax.config import Direction
from sora_jax.sampling import arguments
from sora_jax.sampling.converters import ClipLike, MaskLike
from sora_jax.sampling.segments import Clip, Part
from sora_jax.sampling.tasks import joining, keyframes, retouching, splicing, story
from sora_jax.sampling.tasks.context import Brief
from sora_jax.sampling.tasks.animate import Keyframe
from sora_jax.sampling.tasks.edit import EDIT, REFINE, Size
from sora_jax.sampling.tasks.splice import Span
from sora_jax.sampling.tasks.storyboard import Stretch


class ClipMethods(abc.ABC):
    """What a model does with clips; options are those of `Model`."""

    @abc.abstractmethod
    def run(
        self,
        clip: Clip | None,
        prompt: str,
        task: Callable[[Brief], list[Part]],
        **options: Any,
    ) -> Clip:
        """Perform a task, at the size of a clip unless another is asked for."""

    def animate(
        self, images: ClipLike | Sequence[Keyframe], prompt: str = "", **options: Any
    ) -> Clip:
        """Make a video that begins with a picture, or goes through several.

        Args:
          images: one frame `[1 h w 3]`, or keyframes.
          prompt: what is shown.
          **options: see the class; `frames` are those of the whole video.
        """
        keys = arguments.as_keyframes(images, "images")
        return self.run(
            keys[0].pixels if keys else None,
            prompt,
            lambda brief: keyframes.animate(brief, keys, brief.settings.frames),
            **options,
        )

    def extend(
        self,
        clip: ClipLike,
        prompt: str = "",
        *,
        frames: int,
        direction: Direction = "forward",
        **options: Any,
    ) -> Clip:
        """Continue a clip by so many frames, forward, backward, or both."""
        clip, new = arguments.as_clip(clip), arguments.as_count(frames, "frames")
        arguments.as_choice(direction, get_args(Direction), "direction")
        return self.run(
            clip,
            prompt,
            lambda brief: joining.extend(brief, clip, new, direction),
            **options,
        )

    def loop(
        self,
        clip: ClipLike | None = None,
        prompt: str = "",
        *,
        frames: int,
        **options: Any,
    ) -> Clip:
        """Make a video whose last frame flows into its first.

        Args:
          clip: that is to loop; without one a video is made from the prompt.
          prompt: what is shown.
          frames: that are added to the clip, or, without one, of the whole.
          **options: see the class.
        """
        clip = None if clip is None else arguments.as_clip(clip)
        new = arguments.as_count(frames, "frames")

        def parts(brief: Brief) -> list[Part]:
            if clip is None:
                return joining.loop_from_prompt(brief, new)
            return joining.loop(brief, clip, new)

        return self.run(clip, prompt, parts, **options)

    def connect(
        self,
        first: ClipLike,
        second: ClipLike,
        prompt: str = "",
        *,
        frames: int,
        **options: Any,
    ) -> Clip:
        """Show two clips with a transition of so many frames between them."""
        first, second = (
            arguments.as_clip(clip, name)
            for name, clip in (("first", first), ("second", second))
        )
        new = arguments.as_count(frames, "frames")
        return self.run(
            first,
            prompt,
            lambda brief: joining.connect(brief, first, second, new),
            **options,
        )

    def insert(
        self, clip: ClipLike, prompt: str, *, spans: Sequence[Span], **options: Any
    ) -> Clip:
        """Insert scenes, which fill those spans (seconds) of the result."""
        refuse_length(options)
        clip, cuts = arguments.as_clip(clip), arguments.as_spans(spans)
        return self.run(
            clip, prompt, lambda brief: splicing.insert(brief, clip, cuts), **options
        )

    def remove(
        self,
        clip: ClipLike,
        prompt: str = "",
        *,
        spans: Sequence[Span],
        frames: int | None = None,
        **options: Any,
    ) -> Clip:
        """Take spans (seconds) out and bridge each with new frames (half a second)."""
        clip, cuts = arguments.as_clip(clip), arguments.as_spans(spans)
        new = None if frames is None else arguments.as_count(frames, "frames")
        return self.run(
            clip,
            prompt,
            lambda brief: splicing.remove(brief, clip, cuts, new),
            **options,
        )

    def edit(
        self,
        clip: ClipLike,
        prompt: str,
        *,
        strength: int | float = EDIT,
        **options: Any,
    ) -> Clip:
        """Keep motion and layout and change the content: less at 0, all at 1."""
        refuse_length(options)
        clip, share = arguments.as_clip(clip), arguments.as_number(strength, "strength")
        return self.run(
            clip,
            prompt,
            lambda brief: retouching.edit(brief, clip, share),
            **options,
        )

    def inpaint(
        self,
        clip: ClipLike,
        mask: MaskLike,
        prompt: str = "",
        **options: Any,
    ) -> Clip:
        """Make anew what the mask does not know (0); keep the rest (1)."""
        refuse_length(options)
        clip, mask = arguments.as_clip(clip), arguments.as_mask(mask)
        return self.run(
            clip, prompt, lambda brief: retouching.inpaint(brief, clip, mask), **options
        )

    def outpaint(
        self, clip: ClipLike, prompt: str = "", *, size: Size, **options: Any
    ) -> Clip:
        """Make the surroundings of a clip, up to a size (height, width)."""
        refuse_length(options)
        clip = arguments.as_clip(clip)
        return self.run(
            None,
            prompt,
            lambda brief: retouching.outpaint(brief, clip),
            size=size,
            **options,
        )

    def storyboard(
        self, stretches: Sequence[Stretch], *, frames: int, **options: Any
    ) -> Clip:
        """Make one video that follows a storyboard."""
        shots = arguments.as_stretches(stretches, "stretches")
        count = arguments.as_count(frames, "frames")
        return self.run(
            None,
            "",
            lambda brief: story.storyboard(brief, shots, count),
            **options,
        )

    def upscale(
        self,
        clip: ClipLike | None = None,
        prompt: str = "",
        *,
        size: Size,
        strength: int | float = REFINE,
        **options: Any,
    ) -> Clip:
        """Refine a clip, or a draft from the prompt, at a size (height, width)."""
        clip = None if clip is None else arguments.as_clip(clip)
        share = arguments.as_number(strength, "strength")

        def parts(brief: Brief) -> list[Part]:
            if clip is None:
                return retouching.upscale_draft(brief, share)
            return retouching.upscale(brief, clip, share)

        if clip is not None:
            refuse_length(options)
        return self.run(None, prompt, parts, size=size, **options)


def refuse_length(options: dict[str, Any]) -> None:
    """Refuse a number of frames where the clip has one already."""
    if "frames" in options:
        raise ValueError(
            f"frames must be left out, got {options['frames']}: the clip says how long "
            "the video is"
        )
