"""What a vision model is asked for."""

from __future__ import annotations

from sora_jax import hashes

PROMPT = """\
Describe the clip whose frames are given in their order. Answer with one JSON object and
nothing else, with these three texts in English:
"short": at most 12 words, as a person would ask for such a clip: who or what, the
action, and the place.
"dense": 3 to 6 sentences in the order of time: subjects, their looks and positions,
what they do and how it changes, the background, the light, the visual style.
"camera": one phrase: the kind of shot, and how the camera moves, or "static camera".
Begin each text with its content, not with words such as "The video shows". Say only
what can be seen. Write no line breaks."""
# Characters of a hint.
HINT = 2_000


def prompt_hash(prompt: str = PROMPT) -> str:
    """Return the hash of a prompt, which is recorded with captions."""
    return hashes.of_bytes(prompt.encode())


def request_text(prompt: str, frames: int, fps: float, hint: str) -> str:
    """Return the text that is sent with the frames."""
    if fps:
        times = f"{frames} frames follow, {1 / fps:.3g} seconds apart."
    else:
        times = "It is a single picture, so there is no motion."
    # The hint may hold anything, and is no instruction.
    told = f"\nWhat its owner calls it (may be wrong): {hint[:HINT]!r}" if hint else ""
    return f"{prompt}\n{times}{told}"
