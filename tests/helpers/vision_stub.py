"""A stub of an OpenAI-compatible endpoint, on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FORMS = {
    "short": "The video shows a red ball that bounces",
    "dense": "A red ball falls.\nIt bounces twice.",
    "camera": "Static camera",
}


@dataclasses.dataclass
class Stub:
    """What the stub was asked, and how it answers.

    Attributes:
      url: its base address.
      answer: from the number of the request to (status, headers, body).
      asked: paths, headers and bodies of all requests.
    """

    url: str
    answer: Callable[[int], tuple[int, dict[str, str], bytes]]
    asked: list[tuple[str, dict[str, str], Any]] = dataclasses.field(
        default_factory=list
    )


def completion(text: str) -> bytes:
    """The body of an answer with this text."""
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def good(number: int = 0) -> tuple[int, dict[str, str], bytes]:
    """An answer as it should be."""
    del number
    return 200, {}, completion(json.dumps(FORMS))


@contextlib.contextmanager
def running(
    answer: Callable[[int], tuple[int, dict[str, str], bytes]],
) -> Iterator[Stub]:
    """Run a stub until the end of the block."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                number = len(stub.asked)
                stub.asked.append((self.path, dict(self.headers), json.loads(body)))
            status, headers, content = stub.answer(number)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has read enough
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub = Stub(url=f"http://127.0.0.1:{server.server_port}/v1", answer=answer)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()
