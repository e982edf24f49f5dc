"""What a run is made of, and its first state: restored from the workdir, or made from weights."""

from typing import Any, NamedTuple

import jax
import optax

from ppocr_jax import averages, devices
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables, shapes_of
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import rate_at
from ppocr_jax.runtime.platform import platform
from ppocr_jax.training import agreement, segments, versions
from ppocr_jax.training.averaging import Averages
from ppocr_jax.training.checkpoints import state_tree
from ppocr_jax.training.packed import pack
from ppocr_jax.training.progress import Progress
from ppocr_jax.training.state import TrainState, init_roles, make_state, norm_of
from ppocr_jax.training.step import make_train_step
from ppocr_jax.weights.checks import checksums
from ppocr_jax.weights.meta import best_role
from ppocr_jax.weights.sources import fill_initial, load_role, open_source

ALL = "all of it"  # of a network


class Setup(NamedTuple):
    """What stays the same from the first update to the last.

    Attributes:
        config: a whole config.
        mesh: the devices.
        models: `{role: Detector}` of all roles but averages.
        frozen: `{role: parts}` that do not learn of networks that do.
        tx: the optimiser, over the roles that learn.
    """

    config: Any
    mesh: jax.sharding.Mesh
    models: dict[str, Any]
    frozen: dict[str, tuple[str, ...]]
    tx: optax.GradientTransformation

    def train_step(self):
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

    def pack(self, state):
        """A TrainState, or its shapes, in the form that an update takes on this platform."""
        if platform() != "gpu":
            return state
        fixed = dict(
            trainable=tuple(self.config.trainable),
            frozen_parts=self.frozen,
            averages=Averages.of(self.config).roles,
        )
        if not isinstance(state.step, jax.ShapeDtypeStruct):
            return pack(state, **fixed)
        whole = devices.replicated(self.mesh)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            jax.eval_shape(lambda state: pack(state, **fixed), state),
        )


def set_up(config) -> Setup:
    """Networks, optimiser and devices of a config. Raises UserError where they do not fit."""
    if config.best.role not in averages.scored(config):
        raise UserError(
            f"config.best.role={config.best.role}: it does not learn, so no state of it is better "
            f"than another; should be {' or '.join(averages.scored(config))}"
        )
    mesh = devices.make_mesh(config)
    devices.require_even_shares(config, mesh)
    frozen = configs.frozen_parts(config)
    models = {
        role: build_detector(config.roles[role], config.dtype, config.remat, frozen.get(role, ()))
        for role in averages.networks(config)
    }
    for model in dict.fromkeys(models.values()):
        shapes_of(model)  # refuses what would fill the memory, before it does
    return Setup(config, mesh, models, frozen, make_optimizer(config.optimizer, rate_at))


class Start(NamedTuple):
    """Where a run begins or goes on.

    Attributes:
        state: on the devices.
        progress: what `meta` says beside it.
        notes: lines for the log.
        reports: what was loaded, by role; {} where the run goes on from its own state.
        initial: parts that start from fresh values, by role.
    """

    state: TrainState
    progress: Progress
    notes: list[str]
    reports: dict[str, Any] = {}
    initial: dict[str, list[str]] = {}


def begin(setup, training) -> Start:
    """The first state of a run: weights where the config names some, else fresh values.

    Args:
        setup: what the run is made of.
        training: `data.training_split.Training`.

    Raises:
        UserError: weights that do not fit, or a frozen role without any.
    """
    config, notes, reports, initial = setup.config, [], {}, {}
    variables = init_roles(setup.models, init_variables, config.seed)
    for role in setup.models:
        path = config.init_from[role] or config.init_from.get("all", "")
        learns = role in config.trainable
        if path:
            loaded, reports[role] = load_role(path, role, variables[role], learns)
            variables[role] = fill_initial(loaded, variables[role])
            notes.append(f"{role} from {path}: {reports[role]}")
            notes += _chosen_by_average(path, role)
        elif not learns:
            raise UserError(f"config.init_from.{role} is empty: a frozen role needs weights")
        fresh = reports[role].initial if path else [ALL]
        still = [part for part in setup.frozen.get(role, ()) if _is_fresh(part, fresh)]
        if still:
            raise UserError(
                f"config.freeze: {role}.{still[0]} would stay at fresh values: a frozen part needs "
                f"weights, config.init_from.{role}"
            )
        if fresh:
            initial[role] = fresh
            notes.append(f"warning: {role} starts from fresh values in {', '.join(fresh)}")
    norms = {role: norm_of(variables[role]["params"]) for role in config.trainable}
    progress = Progress(
        segments=[segments.first(config, training)], course={"fresh": initial, "norm": norms}
    )
    state = make_state(variables, setup.tx, config.trainable, setup.frozen)
    state = Averages.of(config).begin(state)
    agreement.require_same_state("weights at step", 0, checksums(state_tree(state)))
    return Start(devices.replicate(state, setup.mesh), progress, notes, reports, initial)


def _chosen_by_average(path, role):
    """A line where weights are not those that their run was judged by, in a list; else none."""
    source = open_source(path)
    best = best_role(source.meta)
    if source.kind != "checkpoint" or best != role + averages.ENDING:
        return []
    return [
        f"warning: {source} was chosen by {best}, and these are the weights of {role}: `extract "
        f"--weights {path} --role {best}` makes a folder of the others, to begin with them"
    ]


def _is_fresh(part, fresh):
    """Whether something of a part starts from fresh values."""
    return any(name == ALL or name.split(".")[0] == part for name in fresh)


def restore(checkpoints, setup, training, changes, given=()) -> Start | None:
    """The newest state of the workdir that can be read; None where the run has saved none yet.

    Args:
        checkpoints: `Checkpoints`.
        setup: what the run is made of.
        training: `data.training_split.Training`.
        changes: lines on the keys that differ from the config of the run.
        given: see `segments.go_on`.

    Raises:
        UserError: see `Checkpoints.restore` and `segments.go_on`.
    """
    restored = checkpoints.restore(template(setup))
    if restored is None:
        return None
    (state, meta), config = restored, setup.config
    progress = Progress.from_meta(meta)
    agreement.require_same_state("restored at step", progress.step, meta.get("checksums", {}))
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
    """`(state, lines)`: a restored state with the averages of a config, and what that changed."""
    wanted = Averages.of(config)
    saved = [role for role in state.params if averages.is_average(role)]
    begun = [
        f"{role} begins at the present weights of {averages.followed(role)}"
        for role in wanted.roles
        if role not in saved
    ]
    ended = [f"{role} is not kept any more" for role in saved if role not in wanted.roles]
    return wanted.begin(state), [*begun, *ended]


def owes_evaluation(begun, due, ends=False) -> bool:
    """Whether the state should be scored before it is changed.

    Weights that were given are scored as they are, so that what training gains can be seen. A run
    that was stopped where an evaluation was due makes up for it, and so does one that `ends` here.
    """
    step = begun.progress.step
    owed = ends or (due.evaluates(step) if step else bool(begun.reports))
    return owed and not begun.progress.evaluated


def template(setup):
    """Shapes, types and shardings of a state, without its values."""
    config = setup.config

    def fresh():
        variables = init_roles(setup.models, init_variables, config.seed)
        return make_state(variables, setup.tx, config.trainable, setup.frozen)

    whole = devices.replicated(setup.mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
        jax.eval_shape(fresh),
    )
