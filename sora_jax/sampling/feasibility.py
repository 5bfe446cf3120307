"""Check that a model and a machine can sample segments, before any work."""

from __future__ import annotations

from collections.abc import Sequence

from sora_jax.config import ModelConfig
from sora_jax.limits import UNLIMITED, Limits
from sora_jax.sampling.footprint import check_footprint
from sora_jax.sampling.limit_checks import check_prompts, limit_problems
from sora_jax.sampling.request import Request
from sora_jax.sampling.request_checks import check_supported
from sora_jax.sampling.segments import FollowUp, Sampled, Segment
from sora_jax.sampling.tile_choice import check_tile, of_tile


def check_segments(
    segments: Sequence[Segment], model: ModelConfig, limits: Limits = UNLIMITED
) -> tuple[int, tuple[int, int]]:
    """Check that the model supports the request and that it is within the limits.

    Returns:
      The number of output frames, and their (height, width).

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    shown, size = 0, (0, 0)
    for segment in segments:
        if isinstance(segment, Sampled):
            check_request(segment.request, model, limits)
            shown += segment.stop - segment.start
            size = segment.request.settings.size
        elif isinstance(segment, FollowUp):
            check_request(segment.sampled.request, model, limits)
            later, size = check_segments(segment.dry(), model, limits)
            shown += later
        else:
            shown += len(segment)
    return shown, size


def check_request(request: Request, model: ModelConfig, limits: Limits) -> None:
    """Check that the model supports the request and that it is within the limits.

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    problems = limit_problems(request.settings, limits)
    problems += check_prompts(request.texts, limits)
    if not problems:
        check_supported(request, model)
        problems = check_tile(request, model)
        problems += check_footprint(of_tile(request, model), model, limits)
    if problems:
        raise ValueError("\n".join(problems))
