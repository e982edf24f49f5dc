"""Sets up a run: networks, optimiser, devices and the first state, restored or initialised."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import ml_collections
import optax

from ppocr_jax import averages, devices
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import Detector, build_detector, init_variables, shapes_of
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import rate_at
from ppocr_jax.runtime.platform import platform
from ppocr_jax.training import agreement, segments, versions
from ppocr_jax.training.averaging import Averages
from ppocr_jax.training.checkpoints import Checkpoints, state_tree
from ppocr_jax.training.packed import PackedState, pack
from ppocr_jax.training.progress import Progress
from ppocr_jax.training.state import TrainState, init_roles, make_state, norm_of
from ppocr_jax.training.step import make_train_step
from ppocr_jax.weights.checks import checksums
from ppocr_jax.weights.meta import best_role
from ppocr_jax.weights.sources import fill_initial, load_role, open_source

if TYPE_CHECKING:
    from ppocr_jax.data.training_split import Training
    from ppocr_jax.training.cadence import Cadence

ALL = "all of it"  # instead of a list of parts: the whole network


class Setup(NamedTuple):
    """What stays the same from the first update to the last.

    Attributes:
        config: a whole config.
        mesh: the devices.
        models: `{role: Detector}` for all roles except averages.
        frozen: `{role: parts}`: frozen parts of trainable roles.
        tx: the optimiser, over the trainable parameters.
    """

    config: ml_collections.ConfigDict
    mesh: jax.sharding.Mesh
    models: dict[str, Detector]
    frozen: dict[str, tuple[str, ...]]
    tx: optax.GradientTransformationExtraArgs

    def train_step(self) -> jax.stages.Wrapped:
        """The jitted update, see `step.make_train_step`."""
        config = self.config
        return make_train_step(
            self.models,
            make_loss(config.loss),
            self.tx,
            tuple(config.trainable),
            frozen_parts=self.frozen,
            frozen_norm=config.frozen_norm,
            norm_scope=config.norm_scope,
            accumulate=config.accumulate,
            little_memory=config.remat,
            mesh=self.mesh,
            averages=Averages.of(config),
            precision=config.precision,
        )

    def pack(self, state: TrainState) -> TrainState | PackedState:
        """Converts a state, or its shapes, to the form that updates use on this platform."""
        if platform() != "gpu":  # elsewhere many small tensors cost no launches
            return state
        packing = functools.partial(
            pack,
            trainable=tuple(self.config.trainable),
            frozen_parts=self.frozen,
            averages=Averages.of(self.config).roles,
        )
        if not isinstance(state.step, jax.ShapeDtypeStruct):
            return packing(state)
        whole = devices.replicated(self.mesh)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            jax.eval_shape(packing, state),
        )


def set_up(config: ml_collections.ConfigDict) -> Setup:
    """Builds the networks, the optimiser and the mesh of a config.

    Raises:
        UserError: values that do not fit together, or too large a network.
    """
    if config.best.role not in averages.scored(config):
        raise UserError(
            f"config.best.role={config.best.role}: this network does not learn, so it cannot "
            f"select the best state; should be {' or '.join(averages.scored(config))}"
        )
    mesh = devices.make_mesh(config)
    devices.require_even_shares(config, mesh)
    frozen = configs.frozen_parts(config)
    models = {
        role: build_detector(config.roles[role], config.dtype, config.remat, frozen.get(role, ()))
        for role in averages.networks(config)
    }
    for model in dict.fromkeys(models.values()):
        shapes_of(model)  # refuses too large a network before it fills the memory
    return Setup(config, mesh, models, frozen, make_optimizer(config.optimizer, rate_at))


class Start(NamedTuple):
    """The first state of this start of a run.

    Attributes:
        state: on the devices.
        progress: from the `meta` beside it.
        notes: lines for the log.
        reports: what was loaded, by role; {} if the run continues from its own state.
        initial: parts that start from random values, by role.
    """

    state: TrainState
    progress: Progress
    notes: list[str]
    reports: dict[str, Any] = {}
    initial: dict[str, list[str]] = {}


def begin(setup: Setup, training: Training) -> Start:
    """Makes the first state of a new run: the weights of `init_from`, else random values.

    Args:
        setup: networks, optimiser and devices.
        training: the training split.

    Raises:
        UserError: weights that do not fit, or a frozen network or part without weights.
    """
    config, notes, reports, initial = setup.config, [], {}, {}
    variables = init_roles(setup.models, init_variables, config.seed)
    for role in setup.models:
        path = config.init_from[role] or config.init_from.get("all", "")
        learns = role in config.trainable

        # Weights: given ones replace the random ones where they have them.
        if path:
            loaded, reports[role] = load_role(path, role, variables[role], learns)
            variables[role] = fill_initial(loaded, variables[role])
            notes.append(f"{role} from {path}: {reports[role]}")
            notes += _chosen_by_average(path, role)
        elif not learns:
            raise UserError(f"config.init_from.{role} is empty: a frozen role needs weights")

        # What stays random is reported; a frozen part must not be random.
        fresh = reports[role].initial if path else [ALL]
        still = [part for part in setup.frozen.get(role, ()) if _is_fresh(part, fresh)]
        if still:
            raise UserError(
                f"config.freeze: {role}.{still[0]} would stay at random values: a frozen part "
                f"needs weights, see config.init_from.{role}"
            )
        if fresh:
            initial[role] = fresh
            notes.append(f"warning: {role} starts from random values in {', '.join(fresh)}")

    # The state. The norms of the initial parameters tell later whether training blew them up.
    norms = {role: norm_of(variables[role]["params"]) for role in config.trainable}
    progress = Progress(
        segments=[segments.first(config, training)], course={"fresh": initial, "norm": norms}
    )
    state = make_state(variables, setup.tx, config.trainable, setup.frozen)
    state = Averages.of(config).begin(state)
    # Processes may have read their weights from different disks.
    agreement.require_same_state("weights at step", 0, checksums(state_tree(state)))
    return Start(devices.replicate(state, setup.mesh), progress, notes, reports, initial)


def _chosen_by_average(path, role):
    """A warning if a run was judged by the average of a role, and the role itself is loaded."""
    source = open_source(path)
    best = best_role(source.meta)
    if source.kind != "checkpoint" or best != role + averages.ENDING:
        return []
    return [
        f"warning: {source} was chosen by {best}, but these are the weights of {role}: `extract "
        f"--weights {path} --role {best}` makes a folder of the averaged ones to start from"
    ]


def _is_fresh(part, fresh):
    """Whether any of a part starts from random values."""
    return any(name == ALL or name.split(".")[0] == part for name in fresh)


def restore(
    checkpoints: Checkpoints,
    setup: Setup,
    training: Training,
    changes: Collection[str],
    given: Collection[str] = (),
) -> Start | None:
    """Reads the newest undamaged state of the workdir; None if the run has saved none yet.

    Args:
        checkpoints: of the workdir.
        setup: networks, optimiser and devices.
        training: the training split.
        changes: lines on the keys that differ from the config of the run.
        given: see `segments.go_on`.

    Raises:
        UserError: see `Checkpoints.restore` and `segments.go_on`.
    """
    restored = checkpoints.restore(template(setup))
    if restored is None:
        return None
    # The state and its progress.
    (state, meta), config = restored, setup.config
    progress = Progress.from_meta(meta)
    agreement.require_same_state("restored at step", progress.step, meta.get("checksums", {}))

    # What is different from before: config keys, the learning rate schedule, the version.
    changes = [
        *changes,
        *segments.go_on(progress, meta.get("config"), setup.config, training, given),
        versions.compare(meta.get("version")),
    ]
    plan = {f"segment {n} of the rate": str(s) for n, s in enumerate(progress.segments, 1)}
    agreement.require_same("segments", plan)
    note = f"continuing from step {progress.step} of {training.total_steps}"
    if progress.best["step"] >= 0:
        best = progress.best
        note += f"; best hmean so far {best['hmean']:.4f} at step {best['step']}"
    state, lines = _with_averages(state, config)
    return Start(state, progress, [note, *filter(None, changes), *lines])


def _with_averages(state, config):
    """`(state, lines)`: the state with the averages that the config asks for, and the changes."""
    wanted = Averages.of(config)
    saved = [role for role in state.params if averages.is_average(role)]
    begun = [
        f"{role} starts at the current weights of {averages.followed(role)}"
        for role in wanted.roles
        if role not in saved
    ]
    ended = [f"{role} is dropped" for role in saved if role not in wanted.roles]
    return wanted.begin(state), [*begun, *ended]


def owes_evaluation(begun: Start, due: Cadence, ends: bool = False) -> bool:
    """Whether the first state should be evaluated before any update.

    Given weights are evaluated first, as the base that training is compared with. A run that was
    stopped where an evaluation was due catches up on it, and so does one that `ends` here.
    """
    step = begun.progress.step
    owed = ends or (due.evaluates(step) if step else bool(begun.reports))
    return owed and not begun.progress.evaluated


def template(setup: Setup) -> TrainState:
    """Shapes, dtypes and shardings of a state, as ShapeDtypeStructs."""
    config = setup.config

    def fresh():
        variables = init_roles(setup.models, init_variables, config.seed)
        return make_state(variables, setup.tx, config.trainable, setup.frozen)

    whole = devices.replicated(setup.mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
        jax.eval_shape(fresh),
    )
