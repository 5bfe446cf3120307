"""A captioner that asks a vision model behind an OpenAI-compatible endpoint.

The endpoint is not trusted: answers have a largest size and a longest time, redirects
are not followed, and the key is sent nowhere else and never logged.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
import tenacity
from jaxtyping import UInt8
from PIL import Image

from sora_jax.data.curation.captioner import Captions, Hint, without_opening
from sora_jax.data.curation.prompt import PROMPT, request_text
from sora_jax.files import decode_json, quoted

ANSWER_BYTES = 2**20
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0  # seconds between two attempts
QUALITY = 90  # of the JPEGs that are sent
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_logger = logging.getLogger(__name__)


class EndpointError(ValueError):
    """No clip can be captioned: wrong key, model or address, or nothing answers."""


class _Retry(Exception):
    """An attempt failed, and the next may not.

    Attributes:
      wait: seconds that the endpoint asks to wait.
      is_answer: whether the endpoint answered at all.
    """

    def __init__(self, reason: str, wait: float = 0.0, is_answer: bool = True):
        super().__init__(reason)
        self.wait, self.is_answer = wait, is_answer


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    choices: list[_Choice]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A captioner behind `URL/chat/completions`.

    Attributes:
      url: such as https://api.example.com/v1.
      model: its name there.
      key: sent as a bearer token if not empty.
      prompt: what is asked for.
      timeout: seconds that one attempt may take.
      attempts: how often a clip is asked for.
      pause: seconds before the second attempt; doubles with each.

    Raises:
      ValueError: the address is none, or would send the key unencrypted.
    """

    url: str
    model: str
    key: str = dataclasses.field(default="", repr=False)
    prompt: str = PROMPT
    timeout: float = 120.0
    attempts: int = 6
    pause: float = 1.0

    def __post_init__(self):
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"--endpoint must be an address such as https://HOST/v1, got "
                f"{quoted(self.url)}"
            )
        if parts.username or parts.password:
            raise ValueError(
                "--endpoint must not contain a key: set the environment variable "
                "that --key-variable names"
            )
        is_open = parts.scheme == "http" and parts.hostname not in _LOOPBACK
        if self.key and is_open:
            raise ValueError(
                f"--endpoint {quoted(self.url)} would send the key unencrypted: give "
                "an https:// address, or --key-variable '' if it needs no key"
            )
        if not self.key.isascii() or not self.key.isprintable():
            raise ValueError("the key of the endpoint must be printable ASCII")

    def caption(
        self, frames: UInt8[np.ndarray, "t h w 3"], fps: float, hint: Hint
    ) -> Captions:
        """Describe a clip; see `captioner.Captioner`.

        Raises:
          EndpointError: see there.
          ValueError: the endpoint refuses this clip, or its answers are not of the form
            that was asked for.
        """
        body = self._body(frames, fps, hint)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Retry),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            before_sleep=_log,
            reraise=True,
        )
        try:
            return retrying(self._ask, body)
        except _Retry as error:
            kind = ValueError if error.is_answer else EndpointError
            raise kind(f"{error}, {self.attempts} times") from error

    def _body(
        self, frames: UInt8[np.ndarray, "t h w 3"], fps: float, hint: Hint
    ) -> dict[str, Any]:
        text = request_text(self.prompt, len(frames), fps, hint.text)
        images = [
            {"type": "image_url", "image_url": {"url": _data_uri(frame)}}
            for frame in frames
        ]
        content = [{"type": "text", "text": text}, *images]
        message = {"role": "user", "content": content}
        return {"model": self.model, "messages": [message]}

    def _wait(self, state: tenacity.RetryCallState) -> float:
        doubled = tenacity.wait_random_exponential(self.pause, LONGEST_WAIT)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _Retry) else 0.0
        return min(max(doubled, asked), LONGEST_WAIT)

    def _ask(self, body: Mapping[str, Any]) -> Captions:
        """Ask once.

        Raises:
          _Retry: the next attempt may succeed.
          EndpointError, ValueError: it will not.
        """
        headers = {
            "Accept-Encoding": "identity"
        }  # a small answer may unpack to any size
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        address = self.url.rstrip("/") + "/chat/completions"
        until = time.monotonic() + self.timeout
        try:
            # Environment variables that name proxies or hold passwords are not read.
            with (
                httpx.Client(timeout=self.timeout, trust_env=False) as client,
                client.stream("POST", address, json=body, headers=headers) as answer,
            ):
                content = _bounded(answer, until)
                self._check_status(answer, content)
        except httpx.HTTPError as error:
            reason = f"no answer ({type(error).__name__})"
            raise _Retry(reason, is_answer=False) from error
        return parse(content)

    def _check_status(self, answer: httpx.Response, content: bytes) -> None:
        status = answer.status_code
        if status == 200:
            return
        told = content[:1000].decode("utf-8", "replace")
        if self.key:  # some endpoints repeat it
            told = told.replace(self.key, "***")
        reason = f"the endpoint answers {status}: {quoted(told)}"
        if status in RETRIED:
            raise _Retry(reason, _asked_wait(answer.headers.get("retry-after", "")))
        if status in (400, 413, 415, 422):  # of this clip
            raise ValueError(reason)
        raise EndpointError(f"{reason}; check --endpoint, --model and the key")


def _bounded(answer: httpx.Response, until: float) -> bytes:
    parts, size = [], 0
    for part in answer.iter_raw():
        size += len(part)
        if size > ANSWER_BYTES:
            raise _Retry(f"the answer has more than {ANSWER_BYTES} bytes")
        if time.monotonic() > until:
            raise _Retry("the answer takes too long")
        parts.append(part)
    return b"".join(parts)


def _asked_wait(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def parse(content: bytes) -> Captions:
    """Read the captions in an answer.

    Raises:
      _Retry: it has another form; models that sample may answer better again.
    """
    try:
        answer = decode_json(content, _Answer)
        text = answer.choices[0].message.content or ""
        # Some models put it in a fence, or talk before it.
        found = decode_json(text[text.find("{") : text.rfind("}") + 1], Captions)
        captions = Captions(
            short=without_opening(found.short),
            dense=without_opening(found.dense),
            camera=without_opening(found.camera),
        )
        if not captions.short:
            raise ValueError("short is empty")
        return captions
    except (ValueError, IndexError) as error:
        raise _Retry(f"the answer is not of the form asked for ({error})") from error


def _data_uri(frame: UInt8[np.ndarray, "h w 3"]) -> str:
    content = io.BytesIO()
    Image.fromarray(frame).save(content, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _log(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0.0
    _logger.info("%s; asking again in %.1f s", error, wait)
