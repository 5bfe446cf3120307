"""The checkpointed steps of a run on disk: which are undamaged, which to restore."""

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

# Names of the files that Orbax, TensorStore, Grain and the manifest write in a step.
_CHECKPOINT_FILES = re.compile(
    r"_CHECKPOINT_METADATA|commit_success\.txt|_METADATA|_sharding|manifest\.ocdbt"
    r"|process_\d+(-of-\d+\.json)?|[0-9a-f]{32}|manifest\.json|\.hashes_\d+\.json"
    r"|\..+\.tmp"
)


class Steps:
    """The step folders in `workdir/checkpoints`; only `clear*` changes the disk."""

    def __init__(self, workdir: epath.Path):
        self.root = workdir / "checkpoints"
        self._shelf = workdir / "damaged_checkpoints"

    def path(self, step: int) -> epath.Path:
        """Return the folder of a step."""
        return self.root / str(step)

    def all(self) -> list[int]:
        """List every step that has a folder, complete or not, oldest first."""
        if not self.root.is_dir():
            return []
        names = (path.name for path in self.root.iterdir())
        # int() would also accept names such as "1_000" and "٣".
        return sorted(int(n) for n in names if re.fullmatch("0|[1-9][0-9]{0,17}", n))

    def complete(self) -> list[int]:
        """List the steps whose save was completed, oldest first."""
        return [step for step in self.all() if self.is_complete(step)]

    def is_complete(self, step: int) -> bool:
        """Return whether the save of a step was completed."""
        return manifest.exists(self.path(step))

    def not_checkpoints(self) -> list[int]:
        """List folders named like a step that hold other files; never delete them."""
        return [
            step
            for step in self.all()
            if os.path.islink(self.path(step))
            or not (self.is_complete(step) or _is_partial(self.path(step)))
        ]

    def size_of_next(self, least: int) -> int:
        """Estimate the bytes of the next save: as the last, and at least `least`."""
        last = [manifest.size(self.path(step)) for step in self.complete()[-1:]]
        return max(least, *last, 0)

    def damage(self, step: int) -> str:
        """Describe what is wrong with a step; "" if it is undamaged."""
        return manifest.damage(self.path(step)) or manifest.changes(self.path(step))

    def newest_undamaged(self) -> tuple[int | None, list[int]]:
        """Return the newest undamaged step and the damaged ones after it."""
        damaged = []
        for step in reversed(self.all()):
            if not (damage := self.damage(step)):
                return step, damaged
            self._skip(step, damage)
            damaged.append(step)
        return None, damaged

    def undamaged(self, step: int | None) -> int:
        """Return a step after checking it for damage; None selects the newest.

        Raises:
          ValueError: there is no such step, or it is damaged.
        """
        if step is None:
            step, _ = self.newest_undamaged()
            if step is None:
                raise self.no_step_error()
        elif step not in self.all():
            raise ValueError(
                f"{self.root} has no step {step}; it has {self.complete() or 'none'}"
            )
        elif damage := self.damage(step):
            raise ValueError(
                f"{self.path(step)} is damaged ({damage}); "
                f"take another of {self.complete()}"
            )
        return step

    def newest_on_all_hosts(self) -> tuple[int | None, list[int]]:
        """Do as `newest_undamaged`, sharing the reading; all hosts call this.

        The first host proposes steps; only its list of damaged ones is filled.
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
        """Yield steps with all their files, newest first, then -1; note the damaged."""
        for step in reversed(self.all()):
            if damage := manifest.damage(self.path(step)):
                self._skip(step, damage)
                damaged.append(step)
            else:
                yield step
        yield -1

    def _skip(self, step: int, damage: str) -> None:
        path = self.path(step)
        _logger.warning("%s is skipped: %s; trying the one before", path, damage)

    def no_step_error(self) -> ValueError:
        """Return the error for a run without an undamaged step."""
        return ValueError(
            f"{self.root} holds no undamaged checkpoint (steps {self.all()}); "
            "give another --workdir, or delete this folder to start over"
        )

    def clear(self, damaged: list[int], has_earlier: bool) -> None:
        """Move damaged steps away and delete partial saves, to save them again.

        Args:
          damaged: the steps.
          has_earlier: whether an undamaged step precedes them.
        """
        for step in damaged:
            path = self.path(step)
            if has_earlier and not self.is_complete(step) and _is_partial(path):
                path.rmtree()
                continue
            self._shelf.mkdir(parents=True, exist_ok=True)
            names = (path.name, *(f"{path.name}-{i}" for i in range(1, 1000)))
            free = (n for n in names if not os.path.lexists(self._shelf / n))
            shelved = self._shelf / next(free)
            path.rename(shelved)
            _logger.warning("moved to %s, which may be deleted", shelved)

    def clear_partial(self, step: int) -> None:
        """Delete what a failed save left, where possible, to free its space."""
        with contextlib.suppress(OSError):
            for path in self.root.iterdir():
                # Orbax's name of an unfinished save.
                if path.name.startswith(f"{step}.orbax-checkpoint-tmp"):
                    path.rmtree()
            folder = self.path(step)
            if not self.is_complete(step) and _is_partial(folder):
                folder.rmtree()


def _is_partial(folder: epath.Path) -> bool:
    """Return whether a folder holds only files that saving a step writes."""
    if os.path.islink(folder) or not folder.is_dir():
        return False
    for path in folder.iterdir():
        if path.is_dir() or os.path.islink(path):
            if not _is_partial(path):
                return False
        elif not _CHECKPOINT_FILES.fullmatch(path.name):
            return False
    return True


def _is_first() -> bool:
    return jax.process_index() == 0
