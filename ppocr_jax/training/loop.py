"""The run: one update after the other, with its evaluations, records and states."""

import collections
import json
import math
import time

import jax
import numpy as np
from etils import epath

from ppocr_jax import __version__, devices
from ppocr_jax import config as configs
from ppocr_jax.data.splits import Training, prepare_root, read_validation
from ppocr_jax.detection.network import make_predict
from ppocr_jax.errors import UserError
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.optim.adam import make_optimizer
from ppocr_jax.optim.schedule import make_schedule
from ppocr_jax.pages.pictures import save_predictions
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.records import RunLog, format_duration, format_losses
from ppocr_jax.training.signals import StopOnSignal, Stopped
from ppocr_jax.training.state import extract_role, init_roles, make_state
from ppocr_jax.training.step import make_train_step
from ppocr_jax.weights import load
from ppocr_jax.weights.load import fill_initial
from ppocr_jax.weights.states import list_steps


def train(config, workdir):
    """Trains to the end of the schedule, from scratch or from where the workdir stands.

    Args:
        config: a whole config.
        workdir: folder of the run; made when it is missing.

    Returns:
        `(state, metrics)`: the last TrainState and the last evaluation by role.

    Raises:
        UserError: bad input, a full disk, a loss that is not finite.
        Stopped: SIGTERM or SIGINT came; the state is saved.
    """
    configs.check(config)
    if jax.process_index() == 0:
        prepare_root(config)  # where processes share it, the others find it done
    devices.wait_for_all("root")
    prepare_root(config)
    training, validation = Training(config), read_validation(config)
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    devices.wait_for_all("workdir")
    old = workdir / "config.json"
    changes = []
    if old.exists() and list_steps(workdir):
        changes = configs.compare_for_resume(config, json.loads(old.read_text()))
    run = Run(config, training, validation, workdir)
    with Checkpoints(workdir, run.notes.append) as run.checkpoints:
        run.start(changes)
        with RunLog(workdir, training.total_steps, run.step, jax.process_index() == 0) as run.log:
            return run.to_the_end()


class Run:
    """The loop: one update after the other, with its evaluations, records and states."""

    def __init__(self, config, training, validation, workdir):
        self.config, self.workdir = config, workdir
        self.training, self.validation = training, validation
        self.mesh = devices.make_mesh(config)
        devices.require_even_shares(config, self.mesh)
        self.models = {
            role: build_detector(network, config.dtype, config.remat)
            for role, network in config.roles.items()
        }
        self.predicts = self._share_predicts()
        self.schedule = make_schedule(config, training.total_steps, training.epoch_steps)
        self.tx = make_optimizer(config.optimizer, self.schedule)
        self.log = self.checkpoints = self.state = None
        self.step = 0
        self.best = {"hmean": -1.0, "step": -1}
        self.window = []  # (step, losses, crops without text) since the last record
        self.evaluated = {}  # role: metrics of the last evaluation
        self.evaluated_step = -1
        self.saved_step = -1
        self.reports, self.initial = {}, {}  # by role: what was loaded, parts with fresh values
        self.notes = []  # lines for the log, from before it is open
        self.bad = {}  # path: reason, of the records that could not be used

    def _share_predicts(self):
        """One compiled function per network, however many roles have it."""
        by_network = {}
        return {
            role: by_network.setdefault(
                str(network), make_predict(build_detector(network, self.config.dtype))
            )
            for role, network in self.config.roles.items()
        }

    # -- start ------------------------------------------------------------------------------

    def start(self, changes):
        """Restores the newest state, or makes the first one."""
        config = self.config
        tx, trainable = self.tx, config.trainable

        def fresh():
            return make_state(init_roles(self.models, init_variables, config.seed), tx, trainable)

        whole = devices.replicated(self.mesh)
        template = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            jax.eval_shape(fresh),
        )
        restored = self.checkpoints.restore(template)
        if restored is None:
            self._start_fresh()
        else:
            self._continue(*restored)
            self.notes += [f"changed since the run began: {line}" for line in changes]
        if jax.process_index() == 0:
            configs.save(config, self.workdir / "config.json")

    def _start_fresh(self):
        config = self.config
        variables = init_roles(self.models, init_variables, config.seed)
        for role in config.roles:
            path = config.init_from[role] or config.init_from.get("all", "")
            learns = role in config.trainable
            if path:
                loaded, report = load.load_role(path, role, variables[role], learns)
                variables[role] = fill_initial(loaded, variables[role])
                self.reports[role] = report
                self.notes.append(f"{role} from {path}: {report}")
            elif not learns:
                raise UserError(f"config.init_from.{role} is empty: a frozen role needs weights")
            initial = self.reports[role].initial if path else ["all of it"]
            if initial:
                self.initial[role] = initial
                self.notes.append(
                    f"warning: {role} starts from fresh values in {', '.join(initial)}"
                )
        state = make_state(variables, self.tx, config.trainable)
        self.state = devices.replicate(state, self.mesh)

    def _continue(self, state, meta):
        self.state = state
        self.step = self.saved_step = meta["step"]
        self.best, self.window = meta["best"], [tuple(entry) for entry in meta["window"]]
        self.evaluated, self.evaluated_step = meta["metrics"], meta["evaluated_step"]
        self.notes.append(
            f"continuing from step {self.step} of {self.training.total_steps}; best hmean so far "
            f"{self.best['hmean']:.4f} at step {self.best['step']}"
            if self.best["step"] >= 0
            else f"continuing from step {self.step} of {self.training.total_steps}"
        )

    def announce(self):
        """What the run is going to do, in lines and as the record `start`."""
        config, training = self.config, self.training
        steps = range(self.step + 1, training.total_steps + 1)
        evaluations = sum(map(self.evaluation_due, steps)) + self.baseline_due()
        count = self.mesh.size
        device = jax.devices()[0]
        optimizer = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state.opt_state))
        lines = [
            f"ppocr_jax {__version__}: {', '.join(config.trainable)} on {count} x "
            f"{device.device_kind}, {len(training.samples)} training and {len(self.validation)} "
            "validation images",
            configs.describe_rate(config),
            f"optimizer state {optimizer / 2**20:.1f} MiB, of {', '.join(config.trainable)} alone",
            f"{training.total_steps} steps, {training.epoch_steps} per epoch; {evaluations} "
            f"evaluations to come{', one of them now' if self.baseline_due() else ''}",
            *self.notes,
        ]
        for line in lines:
            self.log.say(line)
        self.log.record("start", self.step, {
            "version": __version__,
            "jax": jax.__version__,
            "devices": f"{count} x {device.device_kind}",
            "processes": jax.process_count(),
            "optimizer_bytes": optimizer,
            "weights": {role: str(report) for role, report in self.reports.items()},
            "initial": self.initial,
            "notes": self.notes,
        })  # fmt: skip

    def baseline_due(self):
        """Whether the weights that were given should be scored before they are changed."""
        return self.step == 0 and self.evaluated_step < 0 and bool(self.reports)

    def evaluation_due(self, step):
        every = self.config.eval.every_steps
        if self.config.eval.every_epochs:
            every = self.config.eval.every_epochs * self.training.epoch_steps
        return step == self.training.total_steps or bool(every and step % every == 0)

    # -- loop -------------------------------------------------------------------------------

    def to_the_end(self):
        """All remaining updates. Returns `(state, metrics by role)`."""
        self.announce()
        missed = self.step > 0 and self.evaluation_due(self.step)
        if self.baseline_due() or (missed and self.evaluated_step != self.step):
            self.evaluate()
            self.save(replace=True)
        if self.step < self.training.total_steps:
            with StopOnSignal() as stop:
                self._loop(stop)
        self.checkpoints.wait()
        self.log.say(
            f"done: {self.step} steps, best hmean {self.best['hmean']:.4f} at step "
            f"{self.best['step']}, in {self.workdir}"
        )
        return self.state, self.evaluated

    def _loop(self, stop):
        batches = self.training.batches(self.step, (jax.process_index(), jax.process_count()))
        step_fn = None
        self._mark_time()
        inflight = collections.deque()  # (step, metrics, textless, records), not looked at yet
        try:
            while self.step < self.training.total_steps:
                waited = time.perf_counter()
                batch = next(batches)
                self.waited += time.perf_counter() - waited
                self._note_failures(batch.pop("failures"))
                records = batch.pop("record")
                textless = int((~batch["shrink_map"].any((1, 2))).sum())
                arrays = devices.put_batch(batch, self.mesh)
                if step_fn is None:
                    step_fn = self._compile(arrays)
                self.state, metrics = step_fn(self.state, arrays)
                self.step += 1
                inflight.append((self.step, metrics, textless, records))
                if len(inflight) > 1:  # one update runs, one is queued: more would only hold memory
                    self._look_at(inflight.popleft())
                self.log.advance()
                self._after_step(inflight, stop)
        finally:
            batches.close()

    def _after_step(self, inflight, stop):
        """Records, evaluation and saving that are due after an update."""
        step, config = self.step, self.config
        last = step == self.training.total_steps
        recording = step % config.log.every_steps == 0 or last
        stopped = self._agree_to_stop(stop, recording)
        evaluation = self.evaluation_due(step) and not stopped
        saving = last or evaluation or stopped
        saving = saving or (config.save.every_steps and step % config.save.every_steps == 0)
        if recording or saving:
            while inflight:
                self._look_at(inflight.popleft())
        if recording:
            self._record()
        if evaluation:
            self.evaluate()
        if saving:
            self.save()
        if evaluation and last:
            self._draw()
        if evaluation or saving:
            self._mark_time(keep=not recording)
        if stopped and not last:
            self.checkpoints.wait()
            self.log.say(f"stopped at step {step}; the same command continues from there")
            raise Stopped(stopped)

    def _agree_to_stop(self, stop, recording):
        """The signal to stop for, or 0. Several processes ask each other when they record."""
        if jax.process_count() == 1:
            return stop.number
        return int(devices.gather([stop.number]).max()) if recording else 0

    def _compile(self, arrays):
        started = time.perf_counter()
        step_fn = make_train_step(
            self.models,
            make_loss(self.config.loss),
            self.tx,
            tuple(self.config.trainable),
            frozen_norm=self.config.frozen_norm,
            norm_scope=self.config.norm_scope,
            accumulate=self.config.accumulate,
            little_memory=self.config.remat,
            mesh=self.mesh,
        )
        compiled = step_fn.lower(self.state, arrays).compile()
        memory = compiled.memory_analysis()
        seconds = time.perf_counter() - started
        needed = getattr(memory, "temp_size_in_bytes", 0) + getattr(
            memory, "argument_size_in_bytes", 0
        )
        self.log.say(f"step compiled in {seconds:.1f} s, needs {needed / 2**20:.0f} MiB per device")
        self._mark_time()
        return compiled

    def _mark_time(self, keep=False):
        """Starts the clock of the next record anew; evaluation and saving do not count."""
        now = time.perf_counter()
        if keep:
            self.clock_start += now - self.clock_paused
        else:
            self.clock_start, self.clock_step, self.waited = now, self.step, 0.0
        self.clock_paused = now

    def _look_at(self, entry):
        """Waits for an update's losses and refuses what is not finite."""
        step, metrics, textless, records = entry
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            terms = [name for name in wrong if name not in ("total", "grad_norm")] or wrong
            files = [self.training.samples[int(record)].image_path for record in records]
            kept = list_steps(self.workdir)
            raise UserError(
                f"step {step}: {terms[0]} is {values[terms[0]]}; files of the batch: "
                f"{', '.join(files)}; last good state: step {kept[-1] if kept else 'none'}; a "
                "lower learning rate or a look at these files may help"
            )
        self.window.append((step, values, textless))
        self.clock_paused = time.perf_counter()

    def _record(self):
        """One line and one record: means over the updates since the last one."""
        names = list(self.window[0][1])
        means = {name: float(np.mean([v[name] for _, v, _ in self.window])) for name in names}
        done = self.step - self.clock_step
        seconds = max(time.perf_counter() - self.clock_start, 1e-9)
        rate = float(self.schedule(self.step - 1))
        per_s = done * self.config.batch_size / seconds
        left = (self.training.total_steps - self.step) * seconds / max(done, 1)
        wait = self.waited / seconds
        epoch = (self.step - 1) // self.training.epoch_steps + 1
        self.log.say(
            f"step {self.step}/{self.training.total_steps} epoch {epoch} rate {rate:.3g}: "
            f"{format_losses(means)}; {per_s:.2f} images/s, waiting {wait:.0%}, "
            f"eta {format_duration(left)}"
        )
        seen = len(self.window) * self.config.batch_size // jax.process_count()
        textless = sum(count for _, _, count in self.window) / seen
        self.log.record("train", self.step, {
            "epoch": epoch,
            "learning_rate": rate,
            **means,
            "images_per_s": per_s,
            "waiting_share": wait,
            "textless_share": textless,
            "bad_records": len(self.bad),
        })  # fmt: skip
        if textless == 1.0:
            self.log.say(
                "warning: no crop since the last record has text to learn from: words may be "
                "smaller than data.targets.min_text_size after scaling, ignored (*, ###), or "
                "unlabelled; check_data counts them"
            )
        self.window = []
        self._mark_time()

    def _note_failures(self, failures):
        """Names records that were replaced, and stops when they are too many."""
        for path, reason in failures:
            if path not in self.bad:
                self.bad[path] = reason
                self.log.say(f"warning: record skipped: {reason}")
                self.log.record("skipped", self.step, {"path": path, "reason": reason})
        limit = self.config.data.max_bad_share * len(self.training.samples)
        if len(self.bad) > limit:
            named = "; ".join(list(self.bad.values())[:3])
            raise UserError(
                f"{len(self.bad)} of {len(self.training.samples)} training records cannot be used, "
                f"more than data.max_bad_share={self.config.data.max_bad_share:g}: {named}"
            )

    # -- evaluation and state ------------------------------------------------------------------

    def evaluate(self):
        """Scores every trainable role and moves `best`."""
        for role in self.config.trainable:
            variables, sharding = devices.own_part(extract_role(self.state, role), self.mesh)
            metrics, outcomes = evaluate(
                self.predicts[role], variables, self.validation, self.config, sharding
            )
            self.evaluated[role] = metrics
            if role == self.config.best.role:
                self.outcomes = outcomes
            self.log.say(f"evaluated {role} at step {self.step}: {explain(metrics)}")
            self.log.record("eval", self.step, {"role": role, **metrics})
        self.evaluated_step = self.step
        hmean = self.evaluated[self.config.best.role]["hmean"]
        if hmean >= self.best["hmean"]:
            self.best = {"hmean": hmean, "step": self.step}

    def _draw(self):
        path = self.workdir / "predictions.png"
        count = self.config.eval.pictures
        if count and save_predictions(path, self.outcomes[:count]):
            self.log.say(f"predictions beside labels: {path}")

    def save(self, replace=False):
        """Saves the state, once per step; `replace` one that was saved before its evaluation."""
        if self.saved_step == self.step and not replace:
            return
        evaluated = self.evaluated_step == self.step
        meta = {
            "step": self.step,
            "roles": list(self.config.roles),
            "trainable": list(self.config.trainable),
            "config": configs.plain(self.config),
            "metrics": self.evaluated,
            "evaluated_step": self.evaluated_step,
            "best": self.best,
            "window": self.window,
            "version": __version__,
        }
        hmean = self.evaluated[self.config.best.role]["hmean"] if evaluated else None
        self.checkpoints.save(self.state, meta, hmean)
        self.saved_step = self.step
