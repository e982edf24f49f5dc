"""The states that a run keeps: `latest` and the one before it, and `best`, in one Orbax manager.

A checkpoint `<workdir>/checkpoints/<step>` holds `state` (parameters, statistics, optimiser),
`meta` (JSON: config, roles, best so far, metrics by role, checksums) and, when the step was
evaluated, `metrics`. Orbax commits a step by a rename, so a killed run leaves whole steps only.
"""

import copy
import os
import shutil
import zlib

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from ppocr_jax import devices
from ppocr_jax.errors import UserError, first_line
from ppocr_jax.training.damage import find_obstacle, find_shortage, find_unreadable
from ppocr_jax.weights.states import FOLDER, list_steps, read_hmean

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
            try:
                read_hmean(self.folder / str(step))
            except ValueError:
                self._move_aside(step, "its metrics are damaged")
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
        meta = copy.deepcopy({**meta, "checksums": checksums(tree)})
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
            unreadable = find_unreadable(self.folder / str(step), to_the_end=False)
            self._require(step, unreadable or find_shortage(needed))
            try:
                restored = self._restore_step(step, template)
            except Exception as error:
                folder = self.folder / str(step)
                self._require(step, find_unreadable(folder) or find_obstacle(error))
                damaged[step] = first_line(error)
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

    def _require(self, step, obstacle):
        """Refuses to go on where a step may be whole and something else is in the way."""
        if obstacle:
            raise UserError(
                f"{self.folder}/{step} cannot be read now ({obstacle}); nothing was changed: run "
                "the same command again when that is mended"
            )

    def _restore_step(self, step, template):
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(state_tree(template)), meta=ocp.args.JsonRestore()
            ),
        )
        tree, meta = restored["state"], restored["meta"]
        wrong = [k for k, v in checksums(tree).items() if meta["checksums"].get(k) != v]
        if wrong:
            raise ValueError(f"values of {', '.join(wrong)} are not those that were saved")
        return template.replace(**tree), meta

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


def checksums(tree):
    """CRC-32 of the bytes of every role's parameters and statistics and of the optimiser state."""
    parts = {"opt_state": tree["opt_state"]}
    for kind in ("params", "batch_stats"):
        parts |= {f"{kind}/{role}": part for role, part in tree[kind].items()}
    sums = {}
    for name, part in parts.items():
        value = 0
        for leaf in jax.device_get(_local(part)):
            value = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), value)
        sums[name] = value
    return sums


def _local(tree):
    """Leaves as this process holds them: replicated arrays of several processes are not whole."""
    return [
        leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf
        for leaf in jax.tree.leaves(tree)
    ]
