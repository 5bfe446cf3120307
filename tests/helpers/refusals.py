"""Folders of weights that are refused: in little memory, and by name."""

import json
import select
import subprocess
import sys

import pytest


def change(path, **fields):
    """Write a JSON file again with other fields."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


MOST = 2**28  # bytes that a refusal may take, beside what the libraries take
HANG = 300  # seconds: only what does not end takes so long, however busy a machine is
LOADER = """
import json, resource, sys
import jax
from sora_jax.weights import folders
jax.devices()
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
most = held * 1024 + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
try:
    bytearray(2 * int(sys.argv[1]))
except MemoryError:
    print("bound", flush=True)
for line in sys.stdin:
    try:
        told = ["", repr(folders.load_weights(line.removesuffix(chr(10))))]
    except BaseException as error:
        told = [type(error).__name__, str(error)]
    print(json.dumps(told), flush=True)
"""


@pytest.fixture(scope="module")
def refuses():
    """Whether a folder is refused with these words, in little memory."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(MOST)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    asked, answers = process.stdin, process.stdout
    assert asked is not None and answers is not None

    def answer():
        assert select.select([answers], [], [], HANG)[0], "it does not end"
        return answers.readline()

    def ask(folder, *told):
        print(folder, file=asked, flush=True)
        kind, says = json.loads(answer())
        assert kind == "ValueError", (kind, says)
        assert all(word in says for word in told), says
        assert len(says) < 10_000

    try:
        assert answer() == "bound\n"
        yield ask
    finally:
        process.kill()
        process.communicate()
