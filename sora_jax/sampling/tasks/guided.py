"""Tasks whose generated pixels follow a control video or show what pictures show."""

from __future__ import annotations

import dataclasses

from sora_jax.condition import Guide
from sora_jax.sampling.tasks.context import TaskContext
from sora_jax.sampling.tasks.task import Pictures, Share, Task, Video


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guided(Task):
    """A task that weights with a control branch (VACE) can guide.

    Attributes:
      control: a video of depth, poses, edges, optical flow or grey that the generated
        pixels follow, of the video's length.
      reference: pictures of people, things or a place that are to appear.
      control_scale: how much the control branch counts.
    """

    control: Video | None = None
    reference: Pictures | None = None
    control_scale: Share = 1.0

    def guide(self, context: TaskContext) -> Guide:
        """Read the guide's files."""
        control = None
        if self.control is not None:
            control = context.media.video(self.control, "control")
        pictures = [
            context.media.original(picture, "reference")
            for picture in self.reference or ()
        ]
        return Guide(
            control=control, references=tuple(pictures), scale=self.control_scale
        )
