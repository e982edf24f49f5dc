"""A run from its start to its end: one update after the other, and what is due after each."""

import contextlib
import functools

import jax
from etils import epath

from ppocr_jax import config as configs
from ppocr_jax import devices, forms
from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.data.training_split import Training
from ppocr_jax.errors import tell
from ppocr_jax.processes import company
from ppocr_jax.timing import compilations
from ppocr_jax.training import agreement, footprint, start
from ppocr_jax.training.cadence import Cadence
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.forecast import Forecast, describe_memory
from ppocr_jax.training.judge import Judge
from ppocr_jax.training.limits import Limits
from ppocr_jax.training.messages import announce, record_updates, say_the_end
from ppocr_jax.training.meter import Clock, Meter
from ppocr_jax.training.records import RunLog
from ppocr_jax.training.signals import StopOnSignal, Stopped
from ppocr_jax.training.skipped import Skipped
from ppocr_jax.weights import saved_config
from ppocr_jax.weights.meta import list_steps


def train(config, workdir, given=()):
    """Trains to the end of the schedule, from scratch or from where the workdir stands.

    Args:
        config: a whole config.
        workdir: folder of the run; made when it is missing.
        given: keys of the config that the command itself names, see `segments.go_on`.

    Returns:
        `(state, metrics)`: the last TrainState and the last evaluation by role.

    Raises:
        UserError: bad input, a full disk, a loss that is not finite.
        Stopped: SIGTERM or SIGINT came; the state is saved.
    """
    configs.check(config)
    agreement.require_same_run(config)
    training, validation = read_splits(config)
    config = settle_batch(config, workdir, training)
    agreement.require_same_labels(config, training, validation)
    workdir, changes = open_workdir(config, workdir)
    setup = start.set_up(config)
    due = Cadence.of(config, training.total_steps, training.epoch_steps)
    leads, notes = jax.process_index() == 0, []
    with contextlib.ExitStack() as opened:
        checkpoints = opened.enter_context(Checkpoints(workdir, notes.append))
        # Before the states are closed, which waits for the other processes.
        opened.enter_context(company.telling(apart_from=Stopped))

        # The first state: the newest of the workdir, else one from weights or fresh values.
        begun = start.restore(checkpoints, setup, training, changes, given)
        begun = begun or start.begin(setup, training)
        state, progress = begun.state, begun.progress
        limits = Limits(config, progress)
        ending = limits.reached(progress, limits.is_up(progress.seconds))
        first_step = training.total_steps if ending.why else progress.step  # of those to come
        if first_step < training.total_steps:
            checkpoints.require_space(state)  # rather now than after hours
        if leads:
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
        judge = Judge(setup, validation, log, training, workdir)
        first = start.owes_evaluation(begun, due, bool(ending.why))
        evaluations = due.evaluations_after(first_step) + first
        notes += [*begun.notes, *limits.describe(evaluations)]
        announce(log, setup, training, validation, begun, notes, evaluations, first)
        forecast = Forecast(config, setup.mesh, log)
        forecast.begin(training.total_steps - first_step, evaluations, judge.images_of_evaluation)
        if first:
            judge(state, progress)
            checkpoints.save(state, progress.to_meta(config), judge.hmean(progress))

        # The updates.
        skipped = Skipped(len(training.samples), config.data.max_bad_share, log)
        meter = Meter(
            progress.window, Clock(), functools.partial(describe, training, begun, workdir)
        )
        batches = opened.enter_context(training.batches(first_step, own_share()))
        step_fn, plan = None, devices.replicate(progress.segment.numbers(), setup.mesh)
        for batch in meter.clock.waiting(batches):
            skipped.note(batch.pop("failures"), progress.step)
            records, textless = batch.pop("record"), count_textless(batch)
            arrays = {**devices.put_batch(batch, setup.mesh), "plan": plan}
            if step_fn is None:
                step_fn = compile_step(setup, state, arrays, log, forecast.key)
                stop = opened.enter_context(StopOnSignal())  # until here there is nothing to save
                if not first:  # else they are there
                    opened.enter_context(judge.compile_ahead(state))
                meter.restart()
            state, metrics = step_fn(state, arrays)
            progress.step += 1
            progress.seconds = limits.seconds
            meter.add(progress.step, metrics, textless, records)
            log.advance()

            signal = agree_to_stop(stop, due.records(progress.step))
            time_is_up = agree_on_time(limits, progress.seconds, due.records(progress.step))
            now = due(progress.step, bool(signal), time_is_up)
            if now.record or now.save:
                meter.settle()
            if now.record:
                left = training.total_steps - progress.step
                to_come = due.evaluations_after(progress.step) + now.evaluate
                step_s = record_updates(
                    log, progress, meter, setup, training, len(skipped), to_come
                )
                forecast.measured(step_s, left, to_come, progress.metrics)
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


def read_splits(config):
    """`(Training, validation samples)`; scenes that the config asks for are drawn first."""
    if jax.process_index() == 0:
        prepare_root(config)  # where processes share it, the others find it done
    devices.wait_for_all("root")
    prepare_root(config)
    training = Training(config)
    return training, read_validation(config, training.notes.append)


def settle_batch(config, workdir, training):
    """The config with a number of images in the place of `batch_size=0`, for which it plans.

    A run that goes on keeps the one of its states; else it is the largest that fits.
    """
    if config.batch_size:
        return config
    say = tell if jax.process_index() == 0 else lambda line: None
    if list_steps(workdir):
        saved = forms.upgrade(saved_config.read_compared(f"{workdir}/{saved_config.NAME}")[0])[0]
        batch = saved["batch_size"]
        say(f"config.batch_size=0: {batch}, as the run in {workdir} began with")
    else:
        batch = footprint.choose_batch(config, training.epoch_images, say)
    config = footprint.with_values(config, batch_size=batch)
    training.plan(config)
    return config


def open_workdir(config, workdir):
    """Makes the folder of a run, or compares its config with the one of the run in it.

    Returns:
        `(path, changes)`: lines on the keys that differ.

    Raises:
        UserError: a key differs that may not.
    """
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    agreement.require_same_folder(workdir)
    company.set_advice(lambda: how_to_go_on(workdir))
    if not list_steps(workdir):
        return workdir, []
    saved, lines = saved_config.read_compared(workdir / saved_config.NAME)
    return workdir, [*lines, *configs.compare_for_resume(config, saved)]


def how_to_go_on(workdir):
    """What a process says that ends because of another."""
    kept = list_steps(workdir)
    where = f"continues at step {kept[-1]} there" if kept else "begins anew: nothing was saved yet"
    return f"the same command in all processes {where}"


def compile_step(setup, state, arrays, log, key):
    """The compiled update for batches like `arrays`; says how it came, and the memory it takes."""
    compiled, how = compilations.compile_step(
        lambda: setup.train_step().lower(state, arrays), key, log.say
    )
    log.say(f"step {how}")
    for line in describe_memory(setup.config, compiled, setup.mesh.local_devices[0]):
        if line:
            log.say(line)
    return compiled


def own_share():
    """Which part of every batch is this process's: (index, count)."""
    return jax.process_index(), jax.process_count()


def count_textless(batch):
    """Crops of a batch without text to learn from."""
    return int((~batch["shrink_map"].any((1, 2))).sum())


def describe(training, begun, workdir, step, records):
    """Where to look when update number `step` went wrong: given weights, or files of its batch."""
    if step == 1 and begun.reports:
        given = "; ".join(f"{role} from {report.source}" for role, report in begun.reports.items())
        return f"nothing was learned yet, so the weights it began with are the cause: {given}"
    files = ", ".join(training.samples[int(record)].image_path for record in records)
    kept = list_steps(workdir)
    return (
        f"files of the batch: {files}; last good state: step {kept[-1] if kept else 'none'}; a "
        "lower learning rate or a look at these files may help"
    )


def agree_to_stop(stop, recording):
    """The signal to stop for, or 0. Several processes ask each other when they record."""
    if jax.process_count() == 1:
        return stop.number
    return int(devices.gather([stop.number]).max()) if recording else 0


def agree_on_time(limits, seconds, recording):
    """Whether the time is up for one of the processes, which ask each other when they record."""
    if jax.process_count() == 1 or not limits.minutes:
        return limits.is_up(seconds)
    return bool(devices.gather([int(limits.is_up(seconds))]).max()) if recording else False
