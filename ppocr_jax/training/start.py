"""What a run is made of, and its first state: restored from the workdir, or made from weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from ppocr_jax import averages, devices
from ppocr_jax.errors import UserError
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables, shapes_of
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import make_schedule
from ppocr_jax.training import agreement
from ppocr_jax.training.averaging import Averages
from ppocr_jax.training.checkpoints import state_tree
from ppocr_jax.training.progress import Progress
from ppocr_jax.training.state import TrainState, init_roles, make_state, norm_of
from ppocr_jax.training.step import make_train_step
from ppocr_jax.weights.checks import checksums
from ppocr_jax.weights.meta import best_role
from ppocr_jax.weights.sources import fill_initial, load_role, open_source


class Setup(NamedTuple):
    """What stays the same from the first update to the last.

    Attributes:
        config: a whole config.
        mesh: the devices.
        models: `{role: Detector}` of all roles but averages.
        schedule: `updates done -> rate`.
        tx: the optimiser, over the roles that learn.
    """

    config: Any
    mesh: jax.sharding.Mesh
    models: dict[str, Any]
    schedule: Callable[..., Any]
    tx: optax.GradientTransformation

    def train_step(self):
        """The jitted update, see `step.make_train_step`."""
        config = self.config
        return make_train_step(
            self.models,
            make_loss(config.loss),
            self.tx,
            tuple(config.trainable),
            frozen_norm=config.frozen_norm,
            norm_scope=config.norm_scope,
            accumulate=config.accumulate,
            little_memory=config.remat,
            mesh=self.mesh,
            averages=Averages.of(config),
        )


def set_up(config, total_steps, epoch_steps) -> Setup:
    """Networks, optimiser and devices of a config. Raises UserError where they do not fit."""
    mesh = devices.make_mesh(config)
    devices.require_even_shares(config, mesh)
    models = {
        role: build_detector(config.roles[role], config.dtype, config.remat)
        for role in averages.networks(config)
    }
    for model in dict.fromkeys(models.values()):
        shapes_of(model)  # refuses what would fill the memory, before it does
    schedule = make_schedule(config, total_steps, epoch_steps)
    return Setup(config, mesh, models, schedule, make_optimizer(config.optimizer, schedule))


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


def begin(setup) -> Start:
    """The first state of a run: weights where the config names some, else fresh values.

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
        fresh = reports[role].initial if path else ["all of it"]
        if fresh:
            initial[role] = fresh
            notes.append(f"warning: {role} starts from fresh values in {', '.join(fresh)}")
    norms = {role: norm_of(variables[role]["params"]) for role in config.trainable}
    progress = Progress(course={"fresh": initial, "norm": norms})
    state = Averages.of(config).begin(make_state(variables, setup.tx, config.trainable))
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


def restore(checkpoints, setup, total_steps, changes) -> Start | None:
    """The newest state of the workdir that can be read; None where the run has saved none yet.

    Args:
        checkpoints: `Checkpoints`.
        setup: what the run is made of.
        total_steps: updates of the whole run.
        changes: lines on the keys that differ from the config of the run.

    Raises:
        UserError: see `Checkpoints.restore`.
    """
    restored = checkpoints.restore(template(setup))
    if restored is None:
        return None
    (state, meta), config = restored, setup.config
    progress = Progress.from_meta(meta)
    agreement.require_same_state("restored at step", progress.step, meta.get("checksums", {}))
    note = f"continuing from step {progress.step} of {total_steps}"
    if progress.best["step"] >= 0:
        best = progress.best
        note += f"; best hmean so far {best['hmean']:.4f} at step {best['step']}"
    state, lines = _with_averages(state, config)
    return Start(state, progress, [note, *changes, *lines])


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


def owes_evaluation(begun, due) -> bool:
    """Whether the state should be scored before it is changed.

    Weights that were given are scored as they are, so that what training gains can be seen. A run
    that was stopped where an evaluation was due makes up for it.
    """
    step = begun.progress.step
    owed = due.evaluates(step) if step else bool(begun.reports)
    return owed and not begun.progress.evaluated


def template(setup):
    """Shapes, types and shardings of a state, without its values."""
    config = setup.config

    def fresh():
        variables = init_roles(setup.models, init_variables, config.seed)
        return make_state(variables, setup.tx, config.trainable)

    whole = devices.replicated(setup.mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
        jax.eval_shape(fresh),
    )
