"""Sample a stream of unknown length evenly, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class EvenSamples(Generic[T]):
    """Every k-th item of a stream; k doubles whenever there are too many.

    Attributes:
      items: at most `most`, and more than half as many of a long stream.
    """

    def __init__(self, most: int):
        self.items: list[T] = []
        self._most, self._stride, self._count = most, 1, 0

    def add(self, make: Callable[[], T]) -> None:
        """Count the next item; make and keep it if it is sampled."""
        if self._count % self._stride == 0:
            if len(self.items) == self._most:
                self.items, self._stride = self.items[::2], 2 * self._stride
            if self._count % self._stride == 0:
                self.items.append(make())
        self._count += 1


def at_shares(items: Sequence[T], count: int) -> list[T]:
    """Return the middle items of `count` equal parts; short lists repeat some."""
    return [items[int((i + 0.5) / count * len(items))] for i in range(count)]
