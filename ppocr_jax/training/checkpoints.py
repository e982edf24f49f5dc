"""The states that a run keeps: `latest` and the one before it, and `best`, in one Orbax manager.

A checkpoint `<workdir>/checkpoints/<step>` holds `state` (parameters, statistics, optimiser),
`meta` (JSON: config, roles, best so far, metrics by role, checksums) and, when the step was
evaluated, `metrics`. Orbax commits a step by a rename, so a killed run leaves whole steps only.
"""

import os
import shutil

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from ppocr_jax import devices
from ppocr_jax.errors import UserError, first_line
from ppocr_jax.files import write_json
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights.checks import checksums, require_finite, require_saved
from ppocr_jax.weights.damage import (
    Damaged,
    cannot_be_read,
    find_shortage,
    find_unreadable,
    reading,
)
from ppocr_jax.weights.meta import FOLDER, METRICS, is_sealed, list_steps, seal

COPIES = 2  # of a state in memory while it is read: as it comes from disk, and on the device


def _hmean(metrics):
    return metrics["hmean"]


class Checkpoints:
    """Writes and restores the states of one workdir. Use as a context manager."""

    def __init__(self, workdir, warn=print):
        self._warn = warn
        self.folder = epath.Path(workdir).resolve() / FOLDER
        keep = policies.AnyPreservationPolicy([
            policies.LatestN(2),
            policies.BestN(get_metric_fn=_hmean, n=1, keep_checkpoints_without_metrics=False),
        ])  # fmt: skip
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=keep,
            best_fn=_hmean,
            best_mode="max",
            cleanup_tmp_directories=True,
            create=True,
        )
        self._manager = None
        self._lost = []

    def __enter__(self):
        for step in self._steps():  # Orbax reads all of these at once, and fails at once
            self._mend_metrics(step)
        devices.wait_for_all("checkpoints")
        self._manager = ocp.CheckpointManager(self.folder, options=self._options)
        return self

    def __exit__(self, _, raised, __):
        try:
            self._manager.close()
        except Exception as error:
            if not isinstance(raised, UserError):  # which is already the reason to end
                raise UserError(self._failure("the last step", error)) from error

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
        self._require_finite(tree)
        meta = seal({**meta, "checksums": checksums(tree)})
        metrics = None if hmean is None else {"hmean": float(hmean) if hmean == hmean else -1.0}
        self._require_space(tree)
        items = ocp.args.Composite(state=ocp.args.StandardSave(tree), meta=ocp.args.JsonSave(meta))
        try:
            self._manager.wait_until_finished()
            if step in self._steps():  # saved by a signal, before its evaluation
                self._manager.delete(step)
            if not self._manager.save(step, args=items, metrics=metrics, force=True):
                raise OSError("Orbax did not take the step")
        except Exception as error:
            raise UserError(self._failure(step, error)) from error

    def wait(self):
        """Returns when the last save is on disk.

        Raises:
            UserError: it failed.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise UserError(self._failure("the last step", error)) from error

    def _require_finite(self, tree):
        kept = self._steps()
        require_finite(
            {name: tree[name] for name in ("params", "batch_stats")},
            f"step {int(tree['step'])}",
            f"not saved; last good state: step {kept[-1] if kept else 'none'}",
        )

    def _require_space(self, tree):
        """Refuses to begin a save that the disk cannot hold."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + 2**20
        free = shutil.disk_usage(self.folder).free if os.path.isdir(self.folder) else needed
        if free < needed:
            raise UserError(
                f"{self.folder}: a state needs {needed >> 20} MiB and {free >> 20} are free; steps "
                f"kept: {self._steps() or 'none'}; free some and run the same command again"
            )

    def _failure(self, step, error):
        kept = self._steps()
        return (
            f"{self.folder}: saving {step} failed ({first_line(error)}); "
            f"steps kept: {kept or 'none'}; free some disk space and run the same command again"
        )

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
        items = ocp.args.Composite(state=ocp.args.StandardRestore(state_tree(template)))
        tree = self._manager.restore(step, args=items)["state"]
        require_saved(checksums(tree), meta.get("checksums", {}), folder)
        if int(tree["step"]) != step:
            raise Damaged(f"{folder} is damaged: its state is that of step {int(tree['step'])}")
        try:
            require_finite({"params": tree["params"]}, folder)
        except UserError as error:
            raise Damaged(error) from None
        if not is_sealed(meta):
            self._warn(f"step {step}: an older version wrote its meta, without a checksum")
        return template.replace(**tree), meta

    def _mend_metrics(self, step):
        """Makes a step's metrics those of its `meta`: Orbax ranks and prunes by them."""
        try:
            rank = metas.rank_of(metas.read_meta(self.folder.parent, step))
        except Damaged:
            rank = None
        try:
            found, reason = metas.read_rank(self.folder.parent, step), "are missing"
        except Damaged:
            found, reason = None, "are damaged"
            if rank is None:
                return self._move_aside(step, "its metrics are damaged")
        if rank is None or rank == found:
            return None
        reason = reason if found is None else f"say hmean {found}"
        if jax.process_index() == 0:
            path = self.folder / str(step) / METRICS
            path.parent.mkdir(exist_ok=True)
            write_json(path, {"hmean": rank})
        self._warn(
            f"checkpoint {step}: its metrics {reason}; its meta says hmean {rank}, which counts"
        )

    def _move_aside(self, step, reason):
        if jax.process_index() == 0:
            (self.folder / str(step)).rename(self.folder / f"{step}.unreadable")
        devices.wait_for_all(f"unreadable {step}")
        self._lost.append(step)
        self._warn(
            f"checkpoint {step} cannot be read ({reason}): moved to {step}.unreadable, falling "
            "back to the step before it"
        )


def state_tree(state):
    """A TrainState as a dict of its fields."""
    return {name: getattr(state, name) for name in ("step", "params", "batch_stats", "opt_state")}
