"""The states that a run keeps: `latest` and the one before it, and `best`, in one Orbax manager.

A checkpoint `<workdir>/checkpoints/<step>` holds `state` (parameters, statistics, optimiser),
`meta` (JSON: config, roles, best so far, metrics by role, checksums) and, when the step was
evaluated, `metrics`. Orbax commits a step by a rename, so a killed run leaves whole steps only.
"""

import contextlib
import os
import shutil
from concurrent import futures

import jax
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax import devices
from ppocr_jax.errors import UserError, explain
from ppocr_jax.files import discard, sync, sync_names, write_json
from ppocr_jax.locks import hold_folder
from ppocr_jax.training import agreement, averaging
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

COPIES = 2  # of a state in memory while it is read: as it comes from disk, and on the device


def _hmean(metrics):
    return metrics["hmean"]


class Checkpoints:
    """Writes and restores the states of one workdir. Use as a context manager."""

    def __init__(self, workdir, warn=print):
        self._warn = lambda line: warn(f"warning: {line}")
        self.folder = epath.Path(workdir).resolve() / FOLDER
        self._options = ocp.CheckpointManagerOptions(
            max_to_keep=None,  # see `_settle`
            best_fn=_hmean,
            best_mode="max",
            cleanup_tmp_directories=True,
            create=True,
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._sync),
        )
        self._manager = self._saving = self._place = self._thread = None
        self._lost, self._following = [], None
        self._opened = contextlib.ExitStack()

    def __enter__(self):
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
        # Orbax reads the metrics of all steps at once, and fails at once.
        worse = {step: self._mend_metrics(step) for step in self._steps()}
        devices.wait_for_all("metrics")  # all have looked, before anything is moved
        for step, reason in worse.items():
            if reason:
                self._move_aside(step, reason)
        devices.wait_for_all("checkpoints")
        self._manager = ocp.CheckpointManager(self.folder, options=self._options)
        self._place = _identity(self.folder)
        for folder in (self.folder.parent, self.folder.parent.parent):
            sync_names(folder)
        self._name_states()  # a kill may have come between a state and its name

    def __exit__(self, _, raised, __):
        with self._opened:
            try:
                self._settle()
                self._manager.close()
            except Exception as error:
                failure = self._failure(self._saving, error)
                if not isinstance(raised, (UserError, OSError)):  # already the reason to end
                    raise failure from error

    def save(self, state, meta, hmean=None):
        """Saves in the background; the state may be donated, and `meta` changed, after it returns.

        Args:
            state: TrainState.
            meta: what `meta` should hold, JSON's types only; checksums are added.
            hmean: of the best role when this step was evaluated; NaN counts as -1.

        Raises:
            UserError: this save or the one before it failed, a full disk for example.
        """
        step = int(state.step)
        tree = state_tree(state)
        values = own_copy(tree)
        self._require_finite(values)
        meta = seal({**meta, "checksums": checksums(values)})
        agreement.require_same_state("save at step", step, meta["checksums"])
        metrics = None if hmean is None else {"hmean": float(hmean) if hmean == hmean else -1.0}
        items = ocp.args.Composite(state=ocp.args.StandardSave(tree), meta=ocp.args.JsonSave(meta))
        self.wait()
        self.require_space(state)
        self._saving = step
        try:
            if step in self._steps():  # saved by a signal, before its evaluation
                self._manager.delete(step)
            if not self._manager.save(step, args=items, metrics=metrics, force=True):
                raise OSError("Orbax did not take the step")
            if jax.process_index() == 0:
                self._following = self._thread.submit(self._follow, step, self._old_steps())
        except Exception as error:
            raise self._failure(step, error) from error

    def wait(self):
        """Returns when the last save is on disk.

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

    def require_space(self, state):
        """Refuses to begin what the disk cannot hold: a run, or a save.

        Args:
            state: TrainState.

        Raises:
            UserError: no room for a state, or its folder is not there any more.
        """
        self._require_place()
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state_tree(state))) + 2**20
        free = shutil.disk_usage(self.folder).free if self._place else needed
        if free < needed:
            raise UserError(
                f"{self.folder}: a state needs {needed >> 20} MiB and {free >> 20} are free; steps "
                f"kept: {self._steps() or 'none'}; free some disk space and run the same command "
                "again"
            )

    def _require_place(self):
        """Refuses to write where the workdir is not any more: Orbax would make it anew."""
        if _identity(self.folder) != self._place:
            raise UserError(
                f"{self.folder} is not there any more: the workdir was moved or deleted while the "
                "run went on, so it ends; moved back, the same command continues"
            )

    def _sync(self):
        """Puts on the disk what is about to become a step, and the records that lead to it."""
        if self._place and jax.process_index() == 0:
            sync(self.folder.parent / "metrics.jsonl")
            sync_names(self.folder.parent)
            for unfinished in self.folder.glob(f"{self._saving}.*"):
                sync(unfinished)

    def _settle(self):
        """Returns when the last save, and what follows it, is done."""
        self._manager.wait_until_finished()
        self._require_place()
        if self._following is not None:
            self._following.result()

    def _old_steps(self):
        """Steps to let go of: the newest two stay, and the best one; of equals, the newest."""
        steps, best = sorted(self._manager.all_steps()), self._manager.best_step()
        return [step for step in steps[:-2] if step != best]

    def _follow(self, step, old):
        """Puts a step's name on the disk; older ones go only then. In a thread of its own."""
        self._manager.wait_until_finished()
        folder = self.folder / str(step)
        if self._place:
            for path in folder.iterdir():  # Orbax has written marks there since `_sync`
                if path.is_file():
                    sync(path)
            sync_names(folder)
            sync_names(self.folder)
        self._name_states()  # while all that it named before is still there
        for path in (self.folder / str(other) for other in old):
            if path.exists():
                path.rmtree()

    def _name_states(self):
        in_place = _identity(self.folder) == self._place
        if jax.process_index() == 0 and in_place and self._steps():
            write_names(self.folder.parent)

    def _failure(self, step, error):
        """UserError for a save that failed; what it left is removed."""
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
        """Removes what a save that was under way has made where its folder is not any more."""
        if jax.process_index() == 0 and self.folder.is_dir():
            for path in [self.folder / str(step), *self.folder.glob(f"{step}.orbax-*")]:
                discard(path)
            for folder in (self.folder, self.folder.parent):
                with contextlib.suppress(OSError):  # something else lies there
                    folder.rmdir()

    def _steps(self):
        return list_steps(self.folder.parent)

    def restore(self, template):
        """The newest state that can be read, as `(state, meta)`, or None when there is none.

        A damaged step is one whose files can be read and do not hold what was saved. When a step
        before it is whole, it is moved aside as `<step>.unreadable`, which is said.

        Args:
            template: TrainState of arrays or ShapeDtypeStructs with their shardings.

        Raises:
            UserError: every step is damaged, or this process cannot read one for a reason that
                is not the step's: memory, permissions, a disk that does not answer. Nothing was
                moved then.
        """
        damaged, steps = {}, self._steps()
        needed = COPIES * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
        for step in reversed(steps):
            self._require_readable(step, needed)
            try:
                with reading(self.folder / str(step)):
                    restored = self._restore_step(step, template)
            except Damaged as error:
                damaged[step] = str(error)
                continue
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
        """Refuses to read what would fail for a reason that is not the step's."""
        folder = self.folder / str(step)
        obstacle = find_unreadable(folder, to_the_end=False) or find_shortage(needed)
        if obstacle:
            raise UserError(cannot_be_read(folder, obstacle))

    def _restore_step(self, step, template):
        folder = self.folder / str(step)
        meta = metas.read_meta(self.folder.parent, step)
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
        """Makes a step's metrics those of its `meta`: Orbax ranks and prunes by them.

        Returns:
            Why the step cannot stay; "" where it can.
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


def _identity(folder):
    """What tells a folder from another one that has its name later; None in a bucket."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def state_tree(state):
    """A TrainState as a dict of its fields."""
    return {name: getattr(state, name) for name in ("step", "params", "batch_stats", "opt_state")}
