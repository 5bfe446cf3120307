"""Captions: what is asked of an endpoint, and what is made of its answers."""

import base64
import dataclasses
import io
import json
import logging
import socket

import numpy as np
import pytest
from etils import epath
from PIL import Image

from sora_jax.commands import data
from sora_jax.data import outputs
from sora_jax.data.curation import curate
from sora_jax.data.curation.caption_folder import caption_clips, clip_files
from sora_jax.data.curation.captioner import (
    Captioner,
    Captions,
    GivenCaptions,
    Hint,
    without_opening,
)
from sora_jax.data.curation.captions import (
    CaptionedClip,
    UncaptionedClip,
    read_captions,
)
from sora_jax.data.curation.endpoint import ANSWER_BYTES, Endpoint, EndpointError
from sora_jax.data.curation.folder import media_files
from sora_jax.data.curation.prompt import PROMPT, prompt_hash
from sora_jax.data.curation.shots import read_curation
from tests.helpers import vision_stub
from tests.helpers.textures import moving, texture
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


@dataclasses.dataclass
class Counting:
    """A captioner that counts, and fails for some clips."""

    asked: list
    fails: tuple = ()
    stops: str = ""

    def caption(self, frames, fps, hint):
        self.asked.append((hint.id, frames.shape, round(fps, 1), hint.text))
        if hint.id == self.stops:
            raise EndpointError("the key is wrong")
        if hint.id in self.fails:
            raise ValueError("the model does not like it")
        return Captions(short=f"clip {hint.id}")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    outputs.write(root / "a.mp4", [moving(0)], 24)
    outputs.write(root / "joined.mp4", [np.concatenate([moving(1), moving(2)])], 24)
    Image.fromarray(texture(4)).save(root / "picture.png")
    (root / "a.txt").write_text(" a ball\n")
    (root / "bad.mp4").write_bytes(b"no video")
    return root


def captioned(folder, out, captioner, shots=None, **options):
    clips = clip_files(media_files(folder), shots)
    options = {"model": "eye", "prompt": "xxh3:1", "workers": 2, "frames": 4, **options}
    return caption_clips(clips, captioner, out, **options)


def test_clips_are_captioned_and_failures_are_tried_again(folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    counting = Counting([], fails=("joined.mp4",))
    lines = captioned(folder, out, counting)
    assert sorted(counting.asked) == [
        ("a.mp4", (4, 64, 96, 3), 4.0, "a ball"),
        ("joined.mp4", (4, 64, 96, 3), 2.0, ""),
        ("picture.png", (1, 64, 96, 3), 0.0, ""),
    ]
    bad = {x.id: x.error for x in lines.values() if isinstance(x, UncaptionedClip)}
    assert bad["joined.mp4"] == "the model does not like it"
    assert "cannot be read as a video" in bad["bad.mp4"] and len(bad) == 2
    counting = Counting([])
    captioned(folder, out, counting)
    assert [name for name, *_ in counting.asked] == ["joined.mp4"]
    found = read_captions(out)
    assert set(found) == {"a.mp4", "joined.mp4", "picture.png"}
    assert found["a.mp4"].captions == Captions(short="clip a.mp4")
    assert (found["a.mp4"].model, found["a.mp4"].prompt) == ("eye", "xxh3:1")
    # A clip that is another one now is captioned again.
    outputs.write(tmp_path / "new.mp4", [moving(5)], 24)
    (tmp_path / "new.mp4").replace(folder / "a.mp4")
    counting = Counting([])
    captioned(folder, out, counting)
    assert [name for name, *_ in counting.asked] == ["a.mp4"]
    with pytest.raises(ValueError, match="holds captions of model 'eye'"):
        captioned(folder, out, counting, model="other")


def test_shots_are_captioned_without_their_borders(folder, tmp_path):
    bars = np.pad(np.maximum(moving(6), 90), ((0, 0), (16, 16), (0, 0), (0, 0)))
    outputs.write(folder / "bars.mp4", [bars], 24)
    curation = tmp_path / "c.jsonl"
    curate.curate(media_files(folder), curation, workers=0, seconds=60.0)
    counting = Counting([])
    shots = read_curation(curation)
    captioned(folder, tmp_path / "captions.jsonl", counting, shots)
    asked = {name: rest for name, *rest in counting.asked}
    assert set(asked) == {shot.id for shot in shots}
    assert {"joined.mp4#0", "joined.mp4#1"} <= set(asked)
    assert asked["bars.mp4"] == [(4, 64, 96, 3), 4.0, ""]
    with pytest.raises(ValueError, match="none of the 5 shots of --curation is of"):
        clip_files({"other.mp4": epath.Path(folder / "a.mp4")}, shots)
    (folder / "a.mp4").write_bytes((folder / "joined.mp4").read_bytes())
    lines = captioned(folder, tmp_path / "more.jsonl", Counting([]), shots)
    changed = lines["a.mp4"]
    assert isinstance(changed, UncaptionedClip) and "curate it again" in changed.error


def test_a_text_that_is_not_utf8_is_told(folder, tmp_path):
    (folder / "a.txt").write_bytes(b"\xff\xfe")
    line = captioned(folder, tmp_path / "c.jsonl", Counting([]))["a.mp4"]
    assert isinstance(line, UncaptionedClip) and "is not UTF-8" in line.error


def test_a_stopped_run_goes_on(folder, tmp_path):
    out = tmp_path / "c.jsonl"
    with pytest.raises(EndpointError):
        captioned(folder, out, Counting([], stops="picture.png"), workers=1)
    kept = set(read_captions(out))
    assert kept and "picture.png" not in kept
    # As a kill in the middle of a line leaves it.
    out.write_bytes(out.read_bytes() + b'{"kind":"capt')
    counting = Counting([])
    lines = captioned(folder, out, counting)
    again = {name for name, *_ in counting.asked}
    assert again == {"a.mp4", "joined.mp4", "picture.png"} - kept
    assert sum(isinstance(x, CaptionedClip) for x in lines.values()) == 3


def test_the_program_captions_a_folder(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "captions.jsonl"
    monkeypatch.setenv("MY_KEY", KEY)
    with vision_stub.running(good) as stub:
        flags = ["caption", "--from", str(folder), "--out", str(out), "--model", "eye"]
        flags += ["--endpoint", stub.url, "--key-variable", "MY_KEY", "--workers", "2"]
        data.main([*flags, "--frames", "3"])
        assert all(x["Authorization"] == f"Bearer {KEY}" for _, x, _ in stub.asked)
    told = capsys.readouterr().out
    assert "3 clips have captions" in told and "bad.mp4: " in told
    found = read_captions(out)["a.mp4"]
    assert found.captions == EXPECTED and found.prompt == prompt_hash()
    assert KEY not in out.read_text() + told
    with pytest.raises(SystemExit, match="--workers must be from 1 to 256, got 0"):
        data.main([*flags, "--workers", "0"])
