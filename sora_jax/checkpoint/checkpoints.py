"""Checkpoints: saved asynchronously, restored bit for bit.

The only room that imports Orbax. Orbax writes each step under a temporary name and
renames it; then a manifest with the length and hash of every file completes it. A step
without a manifest is an interrupted save or deletion; one that differs from its
manifest is damaged. In both cases the step before is restored.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from sora_jax import manifest, sharding
from sora_jax.checkpoint.orbax_messages import tell_failures_once
from sora_jax.checkpoint.restoring import Restored, State, load
from sora_jax.checkpoint.steps import Steps
from sora_jax.files import PathLike
from sora_jax.workdir import has_room, is_full_disk, no_room_message


class Checkpoints:
    """The checkpoints of one run, in `workdir/checkpoints`.

    Use it as a context manager: closing waits for the last save. Reading changes
    nothing on disk.
    """

    def __init__(self, workdir: PathLike, keep: int = 2):
        """Open the checkpoints of a run.

        Args:
          workdir: the run's folder; may be `gs://`.
          keep: newest steps to keep; at least 2, since a step may be deleted only after
            its successor is complete.
        """
        if keep < 2:
            raise ValueError(
                f"keep must be at least 2, got {keep}: with one checkpoint, a kill "
                "during a save would lose the run"
            )
        # Orbax wants an absolute path.
        self._workdir = epath.Path(workdir).absolute()
        self._on_disk = Steps(self._workdir)
        self._root = self._on_disk.root
        self._keep = keep
        self._orbax: ocp.training.Checkpointer | None = None
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: tuple[int, Future[None]] | None = None
        self._size, self._failed = 0, 0  # bytes of the last save; the step that failed

    def steps(self) -> list[int]:
        """List the steps whose save was completed, oldest first."""
        return self._on_disk.complete()

    def save(
        self,
        step: int,
        state: State,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Start saving and return; the arrays may be donated right away.

        A step that is already saved is not overwritten.

        Args:
          step: training steps taken.
          state: nested dicts of arrays, by name.
          metadata: JSON data.

        Raises:
          OSError: the save before this one failed.
        """
        self.wait()
        if step in self.steps():
            return
        items = dict(state)
        self._size = self._on_disk.size_of_next(
            sum(x.nbytes for x in jax.tree.leaves(dict(state)))
        )
        with sharding.fail_together():
            # Checked before Orbax starts, whose threads would each log the failure.
            if _is_first() and not has_room(self._root, self._size):
                raise self._failure(step, OSError(os.strerror(errno.ENOSPC)))
            if _is_first() and step in self._on_disk.all():
                self._on_disk.clear([step], has_earlier=True)
        try:
            response = self._writer().save_checkpointables_async(
                step, items, force=True, overwrite=step in self._on_disk.all()
            )
        except Exception as error:
            if not is_full_disk(error):
                raise
            raise self._failure(step, error) from error
        # Serialized now, since the caller may change it.
        text = json.dumps(dict(metadata or {}))
        finish = self._finisher.submit(self._complete, step, response, text)
        self._pending = (step, finish)

    def restore_latest(self, abstract_state: State) -> Restored | None:
        """Restore the newest undamaged step; None in a fresh run.

        Newer, damaged steps move to `workdir/damaged_checkpoints`, and interrupted
        saves are deleted, so that training can save them again.

        Args:
          abstract_state: nested dicts of `jax.ShapeDtypeStruct`, by name, with the
            shardings of the arrays.

        Raises:
          ValueError: none of the steps can be restored.
        """
        self.wait()
        step, damaged = self._on_disk.newest_on_all_hosts()
        is_lost = step is None and any(map(self._on_disk.is_complete, damaged))
        if sharding.from_first_host(is_lost):
            raise self._on_disk.no_step_error()
        restored = None
        if step is not None:
            restored = load(self._root, step, abstract_state)
        with sharding.fail_together():
            self._on_disk.clear(damaged, has_earlier=restored is not None)
        return restored

    def restore(self, step: int | None, abstract_state: State) -> Restored:
        """Restore only the named parts of a step, such as `{"ema": ...}`.

        Args:
          step: which one; None for the newest undamaged one.
          abstract_state: the parts to restore, as in `restore_latest`.

        Raises:
          ValueError: the step does not exist or is damaged.
        """
        self.wait()
        return load(self._root, self._on_disk.undamaged(step), abstract_state)

    def wait(self) -> None:
        """Block until a running save is complete.

        Raises:
          OSError: it failed.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        step, finish = pending
        try:
            # The first host finishes last: it writes the manifest.
            with sharding.fail_together():
                finish.result()
        except Exception as error:
            raise self._failure(step, error) from error

    def close(self) -> None:
        """Complete a running save and stop the threads."""
        try:
            self.wait()
        finally:
            self._finisher.shutdown()
            if self._orbax is not None:
                # A failed save was reported already.
                mute = suppress(Exception) if self._failed else nullcontext()
                with mute:
                    self._orbax.close()
            if self._failed and _is_first():
                self._on_disk.clear_partial(self._failed)

    def __enter__(self) -> Checkpoints:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _writer(self) -> ocp.training.Checkpointer:
        # Created on the first save: its constructor deletes interrupted saves, which
        # readers of a run must not do.
        if self._orbax is None:
            tell_failures_once()
            # Any, since Orbax's policy class does not match its protocol.
            policies = ocp.training.preservation_policies
            kept = policies.CustomSteps(self._on_disk.not_checkpoints())
            newest = policies.LatestN(self._keep)
            policy: Any = policies.AnyPreservationPolicy([newest, kept])
            self._orbax = ocp.training.Checkpointer(
                self._root, preservation_policy=policy, cleanup_tmp_directories=True
            )
        return self._orbax

    def _failure(self, step: int, error: Exception) -> OSError:
        self._failed = step
        reason = str(error).partition("\n")[0]
        if is_full_disk(error):
            reason = no_room_message(self._root / str(step), self._size)
        return OSError(
            f"saving step {step} to {self._root} failed ({reason}); earlier "
            "checkpoints are untouched: fix the cause (free space, raise a quota), and "
            "the same command continues from the last of them"
        )

    def _complete(self, step: int, response: Any, metadata: str) -> None:
        response.result()
        path, hosts = self._root / str(step), jax.process_count()
        if _is_first():
            manifest.write(path, json.loads(metadata), hosts)
        else:
            manifest.leave_hashes(path, jax.process_index(), hosts)


def _is_first() -> bool:
    return jax.process_index() == 0
