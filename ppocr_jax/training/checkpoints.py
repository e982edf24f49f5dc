"""The checkpoints of a run: `latest`, the one before it and `best`, in one Orbax manager.

A checkpoint `<workdir>/checkpoints/<step>` holds `state` (parameters, batch norm statistics,
optimiser), `meta` (JSON: config, roles, best so far, metrics by role, checksums) and, if the step
was evaluated, `metrics`. Orbax commits a step with a rename, so a killed run leaves whole steps
only.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from concurrent import futures
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax import devices
from ppocr_jax.errors import UserError, explain
from ppocr_jax.files import discard, sync, sync_names, write_json
from ppocr_jax.locks import hold_folder
from ppocr_jax.training import agreement, averaging
from ppocr_jax.training.packed import PackedState
from ppocr_jax.training.state import TrainState
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights.checks import checksums, own_copy, require_finite, require_saved
from ppocr_jax.weights.damage import (
    Damaged,
    cannot_be_read,
    find_shortage,
    find_unreadable,
    reading,
)
from ppocr_jax.weights.meta import FOLDER, METRICS, is_sealed, list_steps, seal
from ppocr_jax.weights.names import write_names

COPIES = 2  # of a state in memory while it is restored: as read from disk, and on the device


def _hmean(metrics):
    return metrics["hmean"]


class Checkpoints:
    """Saves and restores the states of one workdir. Use as a context manager.

    Attributes:
        folder: `<workdir>/checkpoints`.
    """

    def __init__(
        self, workdir: str | os.PathLike[str], warn: Callable[[str], object] = print
    ) -> None:
        self._warn = lambda line: warn(f"warning: {line}")
        self.folder = epath.Path(workdir).resolve() / FOLDER
        self._options = ocp.CheckpointManagerOptions(
            max_to_keep=None,  # `_follow` deletes old steps, once the new one is synced
            best_fn=_hmean,
            best_mode="max",
            cleanup_tmp_directories=True,
            create=True,
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._sync),
        )
        self._manager: Any = None
        self._saving: int | None = None  # the step being saved
        self._place: tuple[int, int] | None = None  # identity of the folder
        self._thread: Any = None
        self._lost: list[int] = []  # steps moved aside as unreadable
        self._following: futures.Future[None] | None = None  # what comes after the save
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> "Checkpoints":
        if jax.process_index() == 0:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._opened.enter_context(hold_folder(self.folder.parent))
        self._thread = self._opened.enter_context(futures.ThreadPoolExecutor(1))
        try:
            self._open()
        except BaseException:
            self._opened.close()
            raise
        return self

    def _open(self):
        # Orbax reads the metrics of all steps when it opens, and one damaged file makes it fail.
        worse = {step: self._mend_metrics(step) for step in self._steps()}
        devices.wait_for_all("metrics")  # every process has looked before anything is moved
        for step, reason in worse.items():
            if reason:
                self._move_aside(step, reason)
        devices.wait_for_all("checkpoints")
        self._manager = ocp.CheckpointManager(self.folder, options=self._options)
        self._place = _identity(self.folder)
        for folder in (self.folder.parent, self.folder.parent.parent):
            sync_names(folder)
        self._name_states()  # the last run may have been killed between a state and its name

    def __exit__(self, _, raised, __):
        with self._opened:
            try:
                self._settle()
                self._manager.close()
            except Exception as error:
                failure = self._failure(self._saving, error)
                if not isinstance(raised, (UserError, OSError)):  # that one is the cause to report
                    raise failure from error

    def save(
        self, state: TrainState | PackedState, meta: dict[str, Any], hmean: float | None = None
    ) -> None:
        """Saves in the background. Once it returns, `state` may be donated and `meta` changed.

        Args:
            state: the state, packed or not.
            meta: content of `meta`, JSON types only; checksums are added.
            hmean: of the best role if this step was evaluated. NaN counts as -1.

        Raises:
            UserError: this save or the previous one failed, for example because the disk is full.
        """
        # What is saved: checked on the host, with a checksum of every array.
        step = int(state.step)
        tree = state_tree(state)
        values = own_copy(tree)
        self._require_finite(values)
        meta = seal({**meta, "checksums": checksums(values)})
        # All processes must hold the same replicated state: one that has diverged stops here.
        agreement.require_same_state("save at step", step, meta["checksums"])
        metrics = None if hmean is None else {"hmean": float(hmean) if hmean == hmean else -1.0}
        items = ocp.args.Composite(state=ocp.args.StandardSave(tree), meta=ocp.args.JsonSave(meta))

        # One save at a time, and not without space for all of it.
        self.wait()
        self.require_space(state)
        self._saving = step
        try:
            if step in self._steps():  # a signal saved it, before its evaluation
                self._manager.delete(step)
            if not self._manager.save(step, args=items, metrics=metrics, force=True):
                raise OSError("Orbax did not take the step")
            if jax.process_index() == 0:
                self._following = self._thread.submit(self._follow, step, self._old_steps())
        except Exception as error:
            raise self._failure(step, error) from error

    def wait(self) -> None:
        """Waits until the last save is on disk.

        Raises:
            UserError: it failed.
        """
        try:
            self._settle()
        except Exception as error:
            raise self._failure(self._saving, error) from error

    def _require_finite(self, tree):
        kept = self._steps()
        require_finite(
            {name: tree[name] for name in ("params", "batch_stats")},
            f"step {int(tree['step'])}",
            f"not saved; last good state: step {kept[-1] if kept else 'none'}",
        )

    def require_space(self, state: TrainState | PackedState) -> None:
        """Checks that the disk has room for a state.

        Args:
            state: the state, or its shapes.

        Raises:
            UserError: too little space, or the folder is gone.
        """
        self._require_place()
        # A MiB of margin for `meta` and Orbax's own files.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state_tree(state))) + 2**20
        free = shutil.disk_usage(self.folder).free if self._place else needed
        if free < needed:
            raise UserError(
                f"{self.folder}: a state needs {needed >> 20} MiB and {free >> 20} are free; steps "
                f"kept: {self._steps() or 'none'}; free some disk space and run the same command "
                "again"
            )

    def _require_place(self):
        """Checks that the workdir still exists: Orbax would silently create it again."""
        if _identity(self.folder) != self._place:
            raise UserError(
                f"{self.folder} no longer exists: the workdir was moved or deleted during the run; "
                "move it back and run the same command to continue"
            )

    def _sync(self):
        """Syncs a finished save to disk, with the records up to it, before Orbax commits it."""
        if self._place and jax.process_index() == 0:
            sync(self.folder.parent / "metrics.jsonl")
            sync_names(self.folder.parent)
            for unfinished in self.folder.glob(f"{self._saving}.*"):
                sync(unfinished)

    def _settle(self):
        """Waits for the last save and for `_follow`."""
        self._manager.wait_until_finished()
        self._require_place()
        if self._following is not None:
            self._following.result()

    def _old_steps(self):
        """Steps to delete: all but the newest two and the best; of equals, the newest is best."""
        steps, best = sorted(self._manager.all_steps()), self._manager.best_step()
        return [step for step in steps[:-2] if step != best]

    def _follow(self, step, old):
        """Syncs the name of a step, and only then deletes old steps. Runs in a thread.

        In this order a power cut at any time leaves at least one whole state.
        """
        self._manager.wait_until_finished()
        folder = self.folder / str(step)
        if self._place:
            for path in folder.iterdir():  # Orbax has added marker files since `_sync`
                if path.is_file():
                    sync(path)
            sync_names(folder)
            sync_names(self.folder)
        self._name_states()  # before deleting: the old names must stay valid until then
        for path in (self.folder / str(other) for other in old):
            if path.exists():
                path.rmtree()

    def _name_states(self):
        in_place = _identity(self.folder) == self._place
        if jax.process_index() == 0 and in_place and self._steps():
            write_names(self.folder.parent)

    def _failure(self, step, error):
        """Makes the UserError for a failed save and removes its remains."""
        try:
            self._require_place()
        except UserError as gone:
            self._unmake(step)
            return gone
        if self._place and jax.process_index() == 0:
            for unfinished in self.folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                discard(unfinished)
        return UserError(
            f"{self.folder}: saving step {step} failed: {explain(error)}; steps kept: "
            f"{self._steps() or 'none'}"
        )

    def _unmake(self, step):
        """Removes what a running save has created at the place of a folder that is gone."""
        if jax.process_index() == 0 and self.folder.is_dir():
            for path in [self.folder / str(step), *self.folder.glob(f"{step}.orbax-*")]:
                discard(path)
            for folder in (self.folder, self.folder.parent):
                with contextlib.suppress(OSError):  # not empty: something else is there
                    folder.rmdir()

    def _steps(self):
        return list_steps(self.folder.parent)

    def restore(self, template: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """Reads the newest undamaged state, as `(state, meta)`; None if the run has none.

        A step is damaged if its files can be read but do not hold what was saved. If an older step
        is whole, the damaged one is renamed to `<step>.unreadable` with a warning.

        Args:
            template: TrainState of arrays or ShapeDtypeStructs with their shardings.

        Raises:
            UserError: every step is damaged, or this process cannot read one for another reason
                (memory, permissions, a disk that does not answer); then nothing is renamed.
        """
        damaged: dict[int, str] = {}
        steps = self._steps()
        needed = COPIES * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
        for step in reversed(steps):
            self._require_readable(step, needed)
            try:
                with reading(self.folder / str(step)):
                    restored = self._restore_step(step, template)
            except Damaged as error:
                damaged[step] = str(error)
                continue
            # Only now that an older step is whole are the damaged ones moved out of its way.
            for worse, reason in damaged.items():
                self._move_aside(worse, reason)
                self._manager.reload()
            if damaged:
                self._name_states()
            return restored
        lost = sorted([*damaged, *self._lost])
        if lost:
            reasons = "".join(f"; {step}: {reason}" for step, reason in damaged.items())
            raise UserError(f"{self.folder}: none of the steps {lost} can be read{reasons}")
        return None

    def _require_readable(self, step, needed):
        """Checks that a read cannot fail for reasons other than damage: memory, permissions."""
        folder = self.folder / str(step)
        obstacle = find_unreadable(folder, to_the_end=False) or find_shortage(needed)
        if obstacle:
            raise UserError(cannot_be_read(folder, obstacle))

    def _restore_step(self, step, template):
        folder = self.folder / str(step)
        meta = metas.read_meta(self.folder.parent, step)
        # The run may have had other averages than the config asks for now.
        template = averaging.as_saved(template, meta.get("roles", template.params))
        items = ocp.args.Composite(state=ocp.args.StandardRestore(state_tree(template)))
        tree = self._manager.restore(step, args=items)["state"]
        values = own_copy(tree)
        require_saved(checksums(values), meta.get("checksums", {}), folder)
        if int(tree["step"]) != step:
            raise Damaged(f"{folder} is damaged: its state is that of step {int(tree['step'])}")
        try:
            require_finite({"params": values["params"]}, folder)
        except UserError as error:
            raise Damaged(error) from None
        if not is_sealed(meta):
            self._warn(f"step {step}: an older version wrote its meta, without a checksum")
        return template.replace(**tree), meta

    def _mend_metrics(self, step):
        """Repairs a step's `metrics` from its `meta`: Orbax ranks steps by them.

        Returns:
            Why the step has to be moved aside; "" if it can stay.
        """
        try:
            rank = metas.rank_of(metas.read_meta(self.folder.parent, step))
        except Damaged:
            rank = None
        try:
            found, reason = metas.read_rank(self.folder.parent, step), "are missing"
        except Damaged:
            found, reason = None, "are damaged"
            if rank is None:
                return "its metrics are damaged"
        if rank is None or rank == found:
            return ""
        reason = reason if found is None else f"say hmean {found}"
        if jax.process_index() == 0:
            path = self.folder / str(step) / METRICS
            path.parent.mkdir(exist_ok=True)
            write_json(path, {"hmean": rank})
        self._warn(
            f"checkpoint {step}: its metrics {reason}; its meta says hmean {rank}, which counts"
        )
        return ""

    def _move_aside(self, step, reason):
        if jax.process_index() == 0:
            (self.folder / str(step)).rename(self.folder / f"{step}.unreadable")
        devices.wait_for_all(f"unreadable {step}")
        self._lost.append(step)
        self._warn(
            f"checkpoint {step} cannot be read ({reason}): moved to {step}.unreadable, falling "
            "back to the step before it"
        )


def _identity(folder: epath.Path) -> tuple[int, int] | None:
    """Device and inode, which tell a folder from a later one of its name; None in a bucket."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def state_tree(state: TrainState | PackedState) -> dict[str, Any]:
    """The fields of a state, packed or not, as the dict that is saved."""
    return {name: getattr(state, name) for name in ("step", "params", "batch_stats", "opt_state")}
