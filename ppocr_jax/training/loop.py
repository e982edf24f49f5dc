"""The training loop: one update after the other, and what is due after each."""

import contextlib
import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import ml_collections
from etils import epath

from ppocr_jax import config as configs
from ppocr_jax import devices, forms
from ppocr_jax.data.pipeline import Supply
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.data.training_split import Training
from ppocr_jax.errors import tell
from ppocr_jax.processes import company
from ppocr_jax.timing import compilations
from ppocr_jax.training import agreement, feed, footprint, start
from ppocr_jax.training.cadence import Cadence
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.forecast import Forecast, describe_memory
from ppocr_jax.training.judge import Judge
from ppocr_jax.training.limits import Limits
from ppocr_jax.training.messages import announce, record_updates, say_the_end
from ppocr_jax.training.meter import Clock, Meter
from ppocr_jax.training.packed import PackedState
from ppocr_jax.training.records import RunLog
from ppocr_jax.training.signals import StopOnSignal, Stopped
from ppocr_jax.training.skipped import Skipped
from ppocr_jax.training.state import TrainState
from ppocr_jax.training.supply import choose_supply
from ppocr_jax.weights import saved_config
from ppocr_jax.weights.meta import list_steps


def train(
    config: ml_collections.ConfigDict, workdir: epath.PathLike, given: Collection[str] = ()
) -> tuple[TrainState | PackedState, dict[str, dict[str, Any]]]:
    """Trains to the end of the schedule; continues the run if the workdir holds one.

    Args:
        config: a whole config.
        workdir: folder of the run; created if it does not exist.
        given: config keys named on the command line, see `segments.go_on`.

    Returns:
        `(state, metrics)`: the last state and the last evaluation, by role.

    Raises:
        UserError: bad input, a full disk, a loss that is not finite.
        Stopped: a signal stopped the run; the state is saved.
    """
    # Cheap checks come first: mistakes should cost seconds, not minutes.
    configs.check(config)
    agreement.require_same_run(config)
    training, validation = read_splits(config)
    config = settle_batch(config, workdir, training)
    agreement.require_same_labels(config, training, validation)
    workdir, changes = open_workdir(config, workdir)
    setup = start.set_up(config)
    due = Cadence.of(config, training.total_steps, training.epoch_steps)
    leads = jax.process_index() == 0
    notes: list[str] = []
    with contextlib.ExitStack() as opened:
        checkpoints = opened.enter_context(Checkpoints(workdir, notes.append))
        # Entered after the checkpoints, so that it leaves before them: closing those waits for
        # the other processes, which have to hear of a failure first.
        opened.enter_context(company.telling(apart_from=Stopped))

        # The first state: the newest in the workdir, else from given weights or random values.
        begun = start.restore(checkpoints, setup, training, changes, given)
        begun = begun or start.begin(setup, training)
        state: TrainState | PackedState = begun.state
        progress = begun.progress
        limits = Limits(config, progress)
        ending = limits.reached(progress, limits.is_up(progress.seconds))
        first_step = training.total_steps if ending.why else progress.step
        if first_step < training.total_steps:
            checkpoints.require_space(state)  # better now than after hours
        if leads:  # only now: a run that cannot start leaves the old config alone
            configs.save(config, workdir / "config.json")
        log = RunLog(
            workdir,
            training.total_steps,
            progress.step,
            leads,
            writers=config.log.writers,
            config=configs.record(config),
        )
        opened.enter_context(log)

        # What is ahead, and the evaluation of the initial weights if it is owed.
        judge = Judge(setup, validation, log, training, workdir)
        first = start.owes_evaluation(begun, due, bool(ending.why))
        evaluations = due.evaluations_after(first_step) + first
        supply = choose_supply(config, setup.mesh, notes.append)
        notes += [*begun.notes, *limits.describe(evaluations)]
        announce(log, setup, training, validation, begun, notes, evaluations, first)
        forecast = Forecast(config, setup.mesh, log)
        forecast.begin(training.total_steps - first_step, evaluations, judge.images_of_evaluation)
        if first:
            judge(state, progress)
            checkpoints.save(state, progress.to_meta(config), judge.hmean(progress))

        # The updates. Drop every reference to the first state: the first update donates it.
        state = setup.pack(begun.state)
        begun = begun._replace(state=None)  # type: ignore[arg-type]  # nothing reads it below
        skipped = Skipped(len(training.samples), config.data.max_bad_share, log)
        meter = opened.enter_context(
            Meter(progress.window, Clock(), functools.partial(describe, training, begun, workdir))
        )
        batches = training.batches(first_step, own_share(), supply)
        put = functools.partial(feed.put, mesh=setup.mesh)
        batches = opened.enter_context(feed.Feed(batches, put, feed.ahead_of(setup.mesh)))
        step_fn, plan = None, devices.replicate(progress.segment.numbers(), setup.mesh)
        owed = None  # a record to be written once the update it ends with has been read
        for facts, arrays in batches:
            skipped.note(facts["failures"], progress.step)
            arrays = {**arrays, "plan": plan}
            if step_fn is None:
                step_fn = compile_step(setup, state, arrays, log, forecast.key, supply)
                stop = opened.enter_context(StopOnSignal())  # before, there is nothing to save
                if not first:  # the first evaluation has compiled these programs already
                    opened.enter_context(judge.compile_ahead(state))
                meter.restart()

            # One update. It runs on the devices while the host does what follows.
            meter.send()
            state, metrics = step_fn(state, arrays)
            progress.step += 1
            progress.seconds = limits.seconds
            meter.add(progress.step, metrics, facts["textless"], facts["record"])
            log.advance()
            if owed:
                owed = owed()

            # What is due. All processes must agree: evaluations and saves are collective.
            signal = agree_to_stop(stop, due.records(progress.step))
            time_is_up = agree_on_time(limits, progress.seconds, due.records(progress.step))
            now = due(progress.step, bool(signal), time_is_up)
            if now.record:
                to_come = due.evaluations_after(progress.step) + now.evaluate
                facts = (progress.step, to_come, len(skipped))
                owed = functools.partial(
                    record_updates, log, progress, meter, setup, training, forecast, *facts
                )
            # Otherwise the record waits for the next round, so that the devices never wait for it.
            if now.save or meter.is_idle:
                meter.settle()
                owed = owed and owed()
            if now.evaluate:
                judge(state, progress)
            if now.save:
                checkpoints.save(state, progress.to_meta(config), judge.hmean(progress))
                forecast.keep()
                meter.clock.skip()
            if now.stop:
                checkpoints.wait()
                judge.results.show(progress, again=False)
                log.say(f"stopped at step {progress.step}; the same command continues from there")
                raise Stopped(signal)
            ending = limits.reached(progress, time_is_up)
            if ending.why:
                break

        checkpoints.wait()
        judge.results.show(progress)
        judge.conclude(progress)
        say_the_end(log, progress, ending, workdir, config.best.role)
    return state, progress.metrics


def read_splits(config: ml_collections.ConfigDict) -> tuple[Training, Sequence[Sample]]:
    """Reads the training and the validation set; makes the synthetic scenes of the config first."""
    if jax.process_index() == 0:
        prepare_root(config)  # on a shared disk the other processes find it done
    devices.wait_for_all("root")
    prepare_root(config)
    training = Training(config)
    return training, read_validation(config, training.notes.append)


def settle_batch(
    config: ml_collections.ConfigDict, workdir: epath.PathLike, training: Training
) -> ml_collections.ConfigDict:
    """Replaces `batch_size=0` by a number and plans the steps of `training` for it.

    A resumed run keeps its batch size; a new one takes the largest that fits.
    """
    if config.batch_size:
        return config
    say = tell if jax.process_index() == 0 else lambda line: None
    if list_steps(workdir):
        saved = forms.upgrade(saved_config.read_compared(f"{workdir}/{saved_config.NAME}")[0])[0]
        batch = saved["batch_size"]
        say(f"config.batch_size=0: {batch}, the batch size that the run in {workdir} started with")
    else:
        batch = footprint.choose_batch(config, training.epoch_images, say)
    config = footprint.with_values(config, batch_size=batch)
    training.plan(config)
    return config


def open_workdir(
    config: ml_collections.ConfigDict, workdir: epath.PathLike
) -> tuple[epath.Path, list[str]]:
    """Creates the folder of a run, or compares the config with that of the run in it.

    Returns:
        `(path, changes)`: lines on the keys that differ.

    Raises:
        UserError: a key differs that may not change during a run.
    """
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    agreement.require_same_folder(workdir)
    company.set_advice(lambda: how_to_go_on(workdir))
    if not list_steps(workdir):
        return workdir, []
    saved, lines = saved_config.read_compared(workdir / saved_config.NAME)
    return workdir, [*lines, *configs.compare_for_resume(config, saved)]


def how_to_go_on(workdir: epath.PathLike) -> str:
    """The advice of a process that ends because of another one."""
    kept = list_steps(workdir)
    where = f"continues at step {kept[-1]}" if kept else "starts over: nothing was saved yet"
    return f"the same command in all processes {where}"


def compile_step(
    setup: start.Setup,
    state: TrainState | PackedState,
    arrays: dict[str, Any],
    log: RunLog,
    key: str,
    supply: Supply,
) -> Callable[..., Any]:
    """Compiles the update for batches like `arrays`; logs the time it took and the memory."""
    compiled, how = compilations.compile_step(
        lambda: setup.train_step().lower(state, arrays), key, log.say
    )
    log.say(f"step {how}")
    for line in describe_memory(setup.config, compiled, setup.mesh.local_devices[0], supply):
        if line:
            log.say(line)
    return compiled


def own_share() -> tuple[int, int]:
    """The part of every batch that belongs to this process: (index, count)."""
    return jax.process_index(), jax.process_count()


def describe(
    training: Training,
    begun: start.Start,
    workdir: epath.PathLike,
    step: int,
    records: Collection[int],
) -> str:
    """Hints for update number `step` that went wrong: the initial weights, or its batch's files."""
    if step == 1 and begun.reports:
        given = "; ".join(f"{role} from {report.source}" for role, report in begun.reports.items())
        return f"nothing was learned yet, so the initial weights are the cause: {given}"
    files = ", ".join(training.samples[int(record)].image_path for record in records)
    kept = list_steps(workdir)
    return (
        f"files of the batch: {files}; last good state: step {kept[-1] if kept else 'none'}; try a "
        "lower learning rate, or check these files"
    )


def agree_to_stop(stop: StopOnSignal, recording: bool) -> int:
    """The number of the signal to stop for, or 0.

    Several processes must stop at the same step. They ask each other only where a record is due:
    asking after every update would make each wait for the slowest.
    """
    if jax.process_count() == 1:
        return stop.number
    return int(devices.gather([stop.number]).max()) if recording else 0


def agree_on_time(limits: Limits, seconds: float, recording: bool) -> bool:
    """Whether the time limit of any process is reached; see `agree_to_stop`."""
    if jax.process_count() == 1 or not limits.minutes:
        return limits.is_up(seconds)
    return bool(devices.gather([int(limits.is_up(seconds))]).max()) if recording else False
