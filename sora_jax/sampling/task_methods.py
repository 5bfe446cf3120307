"""The tasks as methods of a model: clips, pictures and masks in, a clip out.

Each takes the arguments of its task's dataclass (`sampling.tasks`) as keywords, and the
options of `Model`.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sora_jax.config import Direction
from sora_jax.sampling import converters, tasks
from sora_jax.sampling.segments import Clip
from sora_jax.sampling.tasks import Stretch, Task
from sora_jax.sampling.windows import Frames

# A clip [t h w 3] of floats in [-1, 1], of NumPy or JAX, or a file's path.
VideoLike = Any
# An array [t h w], 1 where the clip is repainted and 0 where it is kept, or a path.
MaskLike = Any
# Pairs of seconds.
SpansLike = Any


def arguments_among(kind: type[Task], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are arguments of a task, such as its guide."""
    return {name: x for name, x in options.items() if name in kind.arguments()}


class TaskMethods(abc.ABC):
    """A method for every task except `generate`; for the options see `Model`."""

    @abc.abstractmethod
    def perform(
        self, task: Task, prompts: str | Sequence[str] | None = None, **options: Any
    ) -> Iterator[Frames]:
        """Perform a task and yield the frames of its videos in order."""

    def _clip(
        self, kind: type[Task], prompt: Any, options: dict[str, Any], **given: Any
    ) -> Clip:
        """Perform a task of one video; None stands for the default of an argument."""
        if "frames" in options:
            raise ValueError(
                f"frames must be left out, got {options['frames']}: the length of the "
                "input sets it"
            )
        given |= arguments_among(kind, options)
        usual = {name: x.default for name, x in kind.arguments().items()}
        given = {
            n: x for n, x in given.items() if x is not None or usual[n] is not None
        }
        options = {n: x for n, x in options.items() if n not in given}
        task = tasks.build(kind, given)
        text = converters.as_text(prompt, "prompt")
        return np.concatenate(list(self.perform(task, text, **options)), axis=1)[0]

    def animate(
        self,
        image: Any,
        prompt: str = "",
        *,
        frames: int | None = None,
        init_noise: Any = None,
        **options: Any,
    ) -> Clip:
        """Animate a picture, or several that the video passes through.

        Args:
          image: one frame `[1 h w 3]`, a file's path, or a list of `Keyframe`.
          prompt: describes the video.
          frames: in the whole video.
          init_noise: initial latents, instead of those drawn from the seed.
          **options: see `Model`.
        """
        return self._clip(
            tasks.Animate,
            prompt,
            options,
            image=image,
            frames=frames,
            init_noise=init_noise,
        )

    def extend(
        self,
        video: VideoLike,
        prompt: str = "",
        *,
        frames: int | None = None,
        direction: Direction = "forward",
        **options: Any,
    ) -> Clip:
        """Continue a clip.

        Args:
          video: the clip.
          prompt: describes the video.
          frames: new ones at an end; by default one less than a window has.
          direction: the end: "forward", "backward" or "both".
          **options: see `Model`.
        """
        return self._clip(
            tasks.Extend,
            prompt,
            options,
            video=video,
            frames=frames,
            direction=direction,
        )

    def loop(
        self,
        video: VideoLike | None = None,
        prompt: str = "",
        *,
        frames: int | None = None,
        **options: Any,
    ) -> Clip:
        """Make a video whose last frame leads into its first.

        Args:
          video: the clip to loop; without one, it is generated from the prompt.
          prompt: describes the video.
          frames: added to the clip or, without one, in the whole video.
          **options: see `Model`.
        """
        return self._clip(tasks.Loop, prompt, options, video=video, frames=frames)

    def connect(
        self,
        first: VideoLike,
        second: VideoLike,
        prompt: str = "",
        *,
        frames: int | None = None,
        **options: Any,
    ) -> Clip:
        """Join two clips by a transition.

        Args:
          first: a clip.
          second: a clip.
          prompt: describes the video.
          frames: new ones between them; by default half a window.
          **options: see `Model`.
        """
        return self._clip(
            tasks.Connect, prompt, options, video=(first, second), frames=frames
        )

    def insert(
        self, video: VideoLike, prompt: str, *, span: SpansLike, **options: Any
    ) -> Clip:
        """Insert scenes into a clip.

        Args:
          video: the clip.
          prompt: describes the video.
          span: pairs of seconds of the result to fill.
          **options: see `Model`.
        """
        return self._clip(tasks.Insert, prompt, options, video=video, span=span)

    def remove(
        self,
        video: VideoLike,
        prompt: str = "",
        *,
        span: SpansLike,
        frames: int | None = None,
        **options: Any,
    ) -> Clip:
        """Remove spans of a clip, and bridge the gaps.

        Args:
          video: the clip.
          prompt: describes the video.
          span: pairs of seconds of the clip.
          frames: new ones in each gap; by default half a second.
          **options: see `Model`.
        """
        return self._clip(
            tasks.Remove, prompt, options, video=video, span=span, frames=frames
        )

    def edit(
        self,
        video: VideoLike,
        prompt: str,
        *,
        strength: int | float = tasks.Edit.strength,
        **options: Any,
    ) -> Clip:
        """Change the content of a clip; keep its motion and layout.

        Args:
          video: the clip.
          prompt: describes the video.
          strength: from 0 (no change) to 1 (the clip is ignored).
          **options: see `Model`.
        """
        return self._clip(tasks.Edit, prompt, options, video=video, strength=strength)

    def inpaint(
        self, video: VideoLike, mask: MaskLike, prompt: str = "", **options: Any
    ) -> Clip:
        """Repaint a clip where the mask is 1; keep it where the mask is 0.

        Args:
          video: the clip.
          mask: of the clip's frames, height and width.
          prompt: describes the video.
          **options: see `Model`.
        """
        return self._clip(tasks.Inpaint, prompt, options, video=video, mask=mask)

    def outpaint(
        self, video: VideoLike, prompt: str = "", *, size: Any, **options: Any
    ) -> Clip:
        """Extend the frames of a clip on all sides to a size (height, width)."""
        outpaint = converters.as_size(size)
        return self._clip(
            tasks.Outpaint, prompt, options, video=video, outpaint=outpaint
        )

    def storyboard(
        self,
        storyboard: str | Sequence[Stretch],
        *,
        frames: int | None = None,
        **options: Any,
    ) -> Clip:
        """Generate a video from a storyboard.

        Args:
          storyboard: stretches of time, or the path of a file.
          frames: in the video, if stretches are given.
          **options: see `Model`.
        """
        return self._clip(
            tasks.Storyboard, "", options, storyboard=storyboard, frames=frames
        )

    def upscale(
        self,
        video: VideoLike | None = None,
        prompt: str = "",
        *,
        size: Any,
        frames: int | None = None,
        strength: int | float = tasks.Upscale.strength,
        video_fps: int | float | None = None,
        **options: Any,
    ) -> Clip:
        """Refine a clip, or a draft from the prompt, at a larger (height, width).

        Args:
          video: the clip; without one, a draft is generated first.
          prompt: describes the video.
          size: larger than that of the clip.
          frames: of a draft.
          strength: see `edit`.
          video_fps: frame rate of a clip that is an array, if it is not that of the
            result: frames are blended to it.
          **options: see `Model`; frames much larger than those that the model was
            trained on are refined in tiles (`refine_tile`, `refine_overlap`).
        """
        options["size"] = converters.as_size(size)
        return self._clip(
            tasks.Upscale,
            prompt,
            options,
            video=video,
            frames=frames,
            strength=strength,
            video_fps=video_fps,
        )
