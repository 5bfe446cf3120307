"""Captions: what is asked of an endpoint, and what is made of its answers."""

import base64
import io
import json
import logging
import socket

import numpy as np
import pytest
from PIL import Image

from sora_jax.data.curation.captioner import (
    Captioner,
    Captions,
    GivenCaptions,
    Hint,
    without_opening,
)
from sora_jax.data.curation.endpoint import ANSWER_BYTES, Endpoint, EndpointError
from sora_jax.data.curation.prompt import PROMPT
from tests.helpers import vision_stub
from tests.helpers.textures import moving
from tests.helpers.vision_stub import completion, good

KEY = "sk-secret"


FRAMES = moving(0, 3)


HINT = Hint(id="a.mp4", text="my ball")


EXPECTED = Captions(
    short="A red ball that bounces",
    dense="A red ball falls. It bounces twice.",
    camera="Static camera",
)


def endpoint(stub, **fields):
    fields = {"model": "eye", "key": KEY, "pause": 0.001, "timeout": 5.0, **fields}
    return Endpoint(url=stub.url, **fields)


def ask(answer, **fields):
    with vision_stub.running(answer) as stub:
        try:
            found = endpoint(stub, **fields).caption(FRAMES, 2.0, HINT)
        except ValueError as error:
            found = error
        return found, stub.asked


def test_frames_and_hint_are_sent_and_forms_come_back():
    assert isinstance(Endpoint(url="https://a.example/v1", model="eye"), Captioner)
    found, ((path, headers, body),) = ask(good)
    assert found == EXPECTED
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "eye"
    text, *images = body["messages"][0]["content"]
    assert text["text"].startswith(PROMPT)
    assert "3 frames follow, 0.5 seconds apart" in text["text"]
    assert "'my ball'" in text["text"]
    for image, frame in zip(images, FRAMES, strict=True):
        kind, _, content = image["image_url"]["url"].partition(",")
        assert kind == "data:image/jpeg;base64"
        sent = Image.open(io.BytesIO(base64.b64decode(content)))
        assert np.abs(np.asarray(sent).astype(int) - frame).mean() < 8
    _, ((_, headers, _),) = ask(good, key="")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    "bad",
    [
        (500, {}, b"oops"),
        (503, {"Retry-After": "0"}, b""),
        (429, {"Retry-After": "soon"}, b"slow down"),
        (200, {}, b"<html>"),
        (200, {}, b"{}"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"message": {"content": null}}]}'),
        (200, {}, completion("I cannot help with that")),
        (200, {}, completion('{"short": 3}')),
        (200, {}, completion('{"short": "", "dense": "x"}')),
        (200, {}, completion(json.dumps({"short": "a" * 20_000}))),
        (200, {}, completion("[" * 100_000)),
        (200, {}, b" " * (ANSWER_BYTES + 1)),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08"),
    ],
)
def test_what_may_pass_is_asked_again(bad):
    found, asked = ask(lambda number: bad if number < 2 else good())
    assert found == EXPECTED and len(asked) == 3
    found, asked = ask(lambda number: bad, attempts=2)
    assert isinstance(found, ValueError) and not isinstance(found, EndpointError)
    assert str(found).endswith(", 2 times") and len(asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{}\n```",
        "Here it is: {} I hope this helps!",
        "{}",
    ],
)
def test_captions_are_found_in_what_models_say(text):
    forms = json.dumps({**vision_stub.FORMS, "style": "3D"})
    found, _ = ask(lambda number: (200, {}, completion(text.replace("{}", forms))))
    assert found == EXPECTED
    found, _ = ask(lambda number: (200, {}, completion('{"short": "a ball"}')))
    assert found == Captions(short="a ball")


@pytest.mark.parametrize(
    "status, kind",
    [(400, ValueError), (413, ValueError), (401, EndpointError), (404, EndpointError)],
)
def test_what_will_not_pass_is_not_asked_again(status, kind, caplog):
    found, asked = ask(lambda number: (status, {}, f"wrong key {KEY}".encode()))
    assert type(found) is kind and len(asked) == 1
    assert f"answers {status}: 'wrong key ***'" in str(found)
    # Another address is never followed to, since it would be sent the key.
    headers = {"Location": "http://127.0.0.1:9/"}
    found, asked = ask(lambda number: (302, headers, b""))
    assert isinstance(found, EndpointError) and len(asked) == 1


def test_an_endpoint_that_is_not_there_ends_the_run(caplog):
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    away = Endpoint(
        url=f"http://127.0.0.1:{port}/v1", model="eye", key=KEY, attempts=2, pause=0.001
    )
    with pytest.raises(EndpointError, match="no answer .ConnectError., 2 times"):
        away.caption(FRAMES, 2.0, HINT)
    assert KEY not in caplog.text + repr(away)


def test_a_slow_answer_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        slow = Endpoint(url=url, model="eye", timeout=0.05, attempts=2, pause=0.001)
        with pytest.raises(EndpointError, match="no answer .ReadTimeout."):
            slow.caption(FRAMES, 2.0, HINT)


@pytest.mark.parametrize(
    "url, key, why",
    [
        ("ftp://a/v1", "", "must be an address"),
        ("a", "", "must be an address"),
        ("https://me:pass@a/v1", "", "must not contain a key"),
        ("http://a.example/v1", KEY, "would send the key unencrypted"),
        ("https://a.example/v1", "a\nb", "printable ASCII"),
    ],
)
def test_addresses_are_checked(url, key, why):
    with pytest.raises(ValueError, match=why) as caught:
        Endpoint(url=url, model="eye", key=key)
    assert "pass@" not in str(caught.value) and KEY not in str(caught.value)


def test_given_captions_are_a_captioner(tmp_path):
    given = GivenCaptions({"a.mp4": " a\nball ", "b.mp4": "A ball. It falls.", "c": ""})
    assert isinstance(given, Captioner)
    assert given.caption(FRAMES, 2.0, HINT) == Captions(short="a ball")
    found = given.caption(FRAMES, 2.0, Hint(id="b.mp4"))
    assert found == Captions(short="A ball.", dense="A ball. It falls.")
    with pytest.raises(ValueError, match="no text is given for clip 'c'"):
        given.caption(FRAMES, 2.0, Hint(id="c"))


@pytest.mark.parametrize(
    "text, without",
    [
        ("The video shows a dog", "A dog"),
        ("This short video clip depicts a dog", "A dog"),
        ("In this video, we can see a dog", "A dog"),
        ("The scene opens with a dog", "A dog"),
        ("the footage captures: dogs", "Dogs"),
        ("The image is of a dog", "A dog"),
        ("The video shows", "The video shows"),
        ("A video game shows a dog", "A video game shows a dog"),
        ("The clip art of a dog", "The clip art of a dog"),
        ("A filmmaker shows a dog", "A filmmaker shows a dog"),
        (" two\n words ", "two words"),
    ],
)
def test_openings_are_stripped(text, without):
    assert without_opening(text) == without
