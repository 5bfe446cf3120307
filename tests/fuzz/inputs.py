"""How inputs for the targets are drawn: mutations of small files and of plain data."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD = [
    "",
    "0",
    "-1",
    "1e9",
    "nan",
    "inf",
    "9" * 30,
    "a" * 300,
    "\x1b[2J\x00",
    "红",
    "\udcff",
]
ODD += ["/dev/zero", "http://localhost/a", "gs://b/a", "64x64", "1:2", "--", "'", "%s"]


def scalars() -> st.SearchStrategy:
    """What JSON may hold in any place."""
    numbers = st.sampled_from([0, -1, 1, 2**31, 2**63, 10**40, 0.5, 1e308, -0.0])
    texts = st.sampled_from([*ODD, "F32", "BF16", "I64"])
    return st.none() | st.booleans() | numbers | texts | st.integers()


def values() -> st.SearchStrategy:
    """Anything that JSON may hold."""
    deep = st.just(json.loads("[" * 200 + "]" * 200))
    grown = st.recursive(
        scalars(),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(st.text(max_size=3), x, max_size=3)
        ),
    )
    return grown | deep


def places(data: Any, path: tuple = ()) -> list[tuple]:
    """Where something stands in plain data."""
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    return [path, *(p for key, value in items for p in places(value, (*path, key)))]


@st.composite
def changed(draw: Callable, data: Any) -> Any:
    """Plain data in which some places hold something else, or are gone."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(data)))
        new = draw(values())
        if not path:
            data = new
            continue
        node = data
        for key in path[:-1]:
            node = node[key]
        if draw(st.booleans()):
            node[path[-1]] = new
        else:
            del node[path[-1]]
        if not places(data):
            break
    return data


@st.composite
def mutated(draw: Callable, content: bytes) -> bytes:
    """Bytes of which some are flipped, cut out, repeated or put in."""
    for _ in range(draw(st.integers(1, 4))):
        # Most of what matters stands at the beginning.
        near = draw(st.booleans())
        at = draw(st.integers(0, min(len(content), 200 if near else len(content))))
        size = draw(st.sampled_from([1, 1, 2, 4, 8, 64, 1000]))
        match draw(st.integers(0, 4)):
            case 0:
                new = draw(st.binary(min_size=1, max_size=8))
                content = content[:at] + new + content[at + len(new) :]
            case 1:
                content = content[:at] + content[at + size :]
            case 2:
                content = content[: at + size] + content[at:]
            case 3:
                content = content[:at]
            case _:
                new = draw(st.sampled_from([b"\xff", b"\0", b"\x7f\xff\xff\xff"]))
                content = content[:at] + new * size + content[at:]
    return content


def as_bytes(data: Any) -> bytes:
    """Plain data as JSON."""
    return json.dumps(data).encode("utf-8", "surrogatepass")


def json_of(data: Any) -> st.SearchStrategy:
    """JSON with other content, or damaged."""
    return changed(data).map(as_bytes) | mutated(as_bytes(data))


@st.composite
def headers(draw: Callable, content: bytes) -> bytes:
    """A safetensors file with another header, whose length is right or not."""
    size = int.from_bytes(content[:8], "little")
    if draw(st.booleans()):
        return draw(mutated(content))
    header = draw(json_of(json.loads(content[8 : 8 + size])))
    length = draw(st.sampled_from([len(header), 0, 2**63 - 1, size]))
    return length.to_bytes(8, "little") + header + content[8 + size :]
