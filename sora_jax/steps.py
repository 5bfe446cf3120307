"""The steps of a run that are on disk: which of them are whole, and which is taken."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
from collections.abc import Iterable

import jax
from etils import epath

from sora_jax import manifest, sharding

_logger = logging.getLogger(__name__)

# The files of a step, as Orbax, TensorStore, Grain and our manifest call them.
_OURS = re.compile(
    r"_CHECKPOINT_METADATA|commit_success\.txt|_METADATA|_sharding|manifest\.ocdbt"
    r"|process_\d+(-of-\d+\.json)?|[0-9a-f]{32}|manifest\.json|\.hashes_\d+\.json"
    r"|\..+\.tmp"
)


class Steps:
    """The folders of `workdir/checkpoints`; looking at them changes nothing."""

    def __init__(self, workdir: epath.Path):
        self.root = workdir / "checkpoints"
        self._shelf = workdir / "damaged_checkpoints"

    def path(self, step: int) -> epath.Path:
        """Where a step is."""
        return self.root / str(step)

    def found(self) -> list[int]:
        """Lists every step that there is anything of, oldest first."""
        if not self.root.is_dir():
            return []
        names = (path.name for path in self.root.iterdir())
        # Not all that Python takes for a number is the name of a step.
        return sorted(int(n) for n in names if re.fullmatch("0|[1-9][0-9]{0,17}", n))

    def complete(self) -> list[int]:
        """Lists the steps whose save was completed, oldest first."""
        return [step for step in self.found() if self.is_complete(step)]

    def is_complete(self, step: int) -> bool:
        """Whether the save of a step was completed."""
        return manifest.exists(self.path(step))

    def foreign(self) -> list[int]:
        """Lists what has a step's name, but may be someone's who will miss it."""
        return [
            step
            for step in self.found()
            if os.path.islink(self.path(step))
            or not (self.is_complete(step) or _is_half(self.path(step)))
        ]

    def size_of_next(self, least: int) -> int:
        """How many bytes a step will take: as many as the last, but these at least."""
        last = [manifest.size(self.path(step)) for step in self.complete()[-1:]]
        return max(least, *last, 0)

    def damage(self, step: int) -> str:
        """Say what is wrong with a step; empty when nothing is."""
        return manifest.damage(self.path(step)) or manifest.changes(self.path(step))

    def newest_whole(self) -> tuple[int | None, list[int]]:
        """Returns the newest undamaged step and the damaged ones after it."""
        damaged = []
        for step in reversed(self.found()):
            if not (damage := self.damage(step)):
                return step, damaged
            self._skip(step, damage)
            damaged.append(step)
        return None, damaged

    def whole(self, step: int | None) -> int:
        """Returns a step that is undamaged; None asks for the newest.

        Raises:
          ValueError: there is no such step, or it is damaged.
        """
        if step is None:
            step, _ = self.newest_whole()
            if step is None:
                raise self.nothing_whole()
        elif step not in self.found():
            raise ValueError(
                f"{self.root} has no step {step}; it has {self.complete() or 'none'}"
            )
        elif damage := self.damage(step):
            raise ValueError(
                f"{self.path(step)} is damaged ({damage}); "
                f"take another of {self.complete()}"
            )
        return step

    def newest_agreed(self) -> tuple[int | None, list[int]]:
        """The same, for all hosts to call: each reads a part of the files.

        The first host looks for steps, before others may change what there is; it
        alone knows which are damaged.
        """
        damaged: list[int] = []
        own = self._candidates(damaged) if _is_first() else itertools.repeat(-1)
        for candidate in own:
            step = sharding.from_first_host(candidate)
            if step < 0:
                return None, damaged
            change = manifest.changes(
                self.path(step), jax.process_index(), jax.process_count()
            )
            if change:
                self._skip(step, change)
            if sharding.min_over_hosts(float(not change)):
                return step, damaged if _is_first() else []
            damaged.append(step)
        raise AssertionError("the candidates end with -1")

    def _candidates(self, damaged: list[int]) -> Iterable[int]:
        """Steps that lack nothing, newest first, then -1; notes the others."""
        for step in reversed(self.found()):
            if damage := manifest.damage(self.path(step)):
                self._skip(step, damage)
                damaged.append(step)
            else:
                yield step
        yield -1

    def _skip(self, step: int, damage: str) -> None:
        path = self.path(step)
        _logger.warning("%s is skipped: %s; trying the one before", path, damage)

    def nothing_whole(self) -> ValueError:
        """The error that tells that no step can be taken."""
        return ValueError(
            f"{self.root} holds no undamaged checkpoint (steps {self.found()}); "
            "give another --workdir, or delete this folder to start anew"
        )

    def clear(self, damaged: list[int], goes_on: bool) -> None:
        """Makes room for saving steps again, losing nothing but half saves.

        Args:
          damaged: these steps.
          goes_on: whether there is a step before them.
        """
        for step in damaged:
            path = self.path(step)
            if goes_on and not self.is_complete(step) and _is_half(path):
                path.rmtree()
                continue
            self._shelf.mkdir(parents=True, exist_ok=True)
            names = (path.name, *(f"{path.name}-{i}" for i in range(1, 1000)))
            free = (n for n in names if not os.path.lexists(self._shelf / n))
            shelved = self._shelf / next(free)
            path.rename(shelved)
            _logger.warning("moved to %s, which may be deleted", shelved)

    def clear_half(self, step: int) -> None:
        """Gives the room back that a save which failed takes, as far as it can."""
        with contextlib.suppress(OSError):
            for path in self.root.iterdir():
                # As Orbax calls what it has not finished.
                if path.name.startswith(f"{step}.orbax-checkpoint-tmp"):
                    path.rmtree()
            half = self.path(step)
            if not self.is_complete(step) and _is_half(half):
                half.rmtree()


def _is_half(folder: epath.Path) -> bool:
    """Whether a folder holds nothing but what saving a step leaves."""
    if os.path.islink(folder) or not folder.is_dir():
        return False
    for path in folder.iterdir():
        if path.is_dir() or os.path.islink(path):
            if not _is_half(path):
                return False
        elif not _OURS.fullmatch(path.name):
            return False
    return True


def _is_first() -> bool:
    return jax.process_index() == 0
