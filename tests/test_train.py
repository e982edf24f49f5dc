"""The loop: resuming, workers, signals, and what goes wrong."""

import json
import os
import resource
import shutil
import signal
import socket
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strict_page import check_alone
from tiny import draw_data, load_config, run, start, write_config

from ppocr_jax.config import describe_rate
from ppocr_jax.data.training_split import Training
from ppocr_jax.errors import UserError
from ppocr_jax.locks import hold_folder
from ppocr_jax.optim.schedule import Segment
from ppocr_jax.training import loop
from ppocr_jax.training import start as start_of_run
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.loop import train
from ppocr_jax.training.signals import Stopped
from ppocr_jax.training.state import TrainState, extract_role
from ppocr_jax.training.step import MAPS
from ppocr_jax.weights.meta import best_step, list_steps, read_meta, seal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    draw_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def config_path(folder):
    return write_config(folder, folder / "data")


@pytest.fixture(scope="module")
def straight(folder, config_path):
    """`(workdir, state)` of an undisturbed run of 8 updates."""
    state, _ = train(load_config(config_path), folder / "straight")
    return folder / "straight", jax.device_get(state)


def assert_states_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, jax.device_get(other))


def records(workdir, kind):
    """What metrics.jsonl holds of a kind, without clocks."""
    clocks = ("time", "images_per_s", "waiting_share")
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in clocks}
        for line in lines
        if line["kind"] == kind
    ]


def test_a_run_leaves_what_it_promises(straight, config_path):
    workdir, state = straight
    assert int(state.step) == 8
    assert list_steps(workdir) == [6, 8]  # the newest two; 8 is the best as well
    saved = json.loads((workdir / "config.json").read_text())
    assert saved["steps"] == 8 and saved["data"]["augment"]["scale"] == [0.8, 1.2]
    train_records = records(workdir, "train")
    assert [record["step"] for record in train_records] == [2, 4, 6, 8]
    for name in ("total", "db/student/shrink", "db/student/threshold", "db/student/binary"):
        assert all(np.isfinite(record[name]) for record in train_records)
    assert [record["step"] for record in records(workdir, "eval")] == [4, 8]
    assert any((workdir / "events").iterdir())
    assert (workdir / "predictions.png").read_bytes().startswith(b"\x89PNG")
    names = json.loads((workdir / "checkpoints.json").read_text())
    assert (names["best"]["step"], names["latest"]["step"]) == (best_step(workdir), 8)
    assert all((workdir / name["path"]).is_dir() for name in names.values())
    page = check_alone((workdir / "results.html").read_text())
    assert f"--weights {workdir}" in page.text and "has done 8 steps" in page.text


def test_the_same_command_again_changes_nothing(straight, config_path, capfd):
    workdir, state = straight
    again, metrics = train(load_config(config_path), workdir)
    assert_states_equal(state, again)
    assert "student" in metrics
    assert "continuing from step 8 of 8" in capfd.readouterr().err


def test_same_seed_same_run_whatever_the_workers(straight, config_path, folder):
    for workers in (1, 3):
        config = load_config(config_path, f"data.workers={workers}")
        state, _ = train(config, folder / f"workers{workers}")
        assert_states_equal(straight[1], state)


def test_kill_and_resume_equals_a_straight_run(straight, folder, config_path):
    overrides = ["steps=40", "eval.every_steps=20", "save.every_steps=20", "log.every_steps=8"]
    overrides += [f"init_from.student={straight[0]}"]
    overrides += ["average.decay=0.9", "best.role=student_average"]
    whole, _ = train(load_config(config_path, *overrides), folder / "whole")
    killed = folder / "killed"
    argv = ["--config", config_path, "--workdir", killed, *(f"--config.{o}" for o in overrides)]
    process = start("train", *argv)
    deadline = time.time() + 300
    while not (killed / "checkpoints" / "20").exists() and process.poll() is None:
        assert time.time() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert max(list_steps(killed)) == 20
    status, _, err = run("train", *argv)
    assert status == 0 and "continuing from step 20 of 40" in err
    resumed, _ = train(load_config(config_path, *overrides), killed)
    assert_states_equal(jax.device_get(whole), resumed)
    for kind in ("train", "eval"):
        assert records(folder / "whole", kind) == records(killed, kind)
    gained = ["base_gain" in record for record in records(killed, "eval")]
    assert gained == 2 * [False] + 4 * [True]  # two roles, at steps 0, 20 and 40


def test_what_changes_after_a_save_is_not_in_it(folder):
    """The save goes on in the background, while the run adds to its window of losses."""
    params = {"student": {"kernel": np.ones((4, 4), np.float32)}}
    state = TrainState(jnp.asarray(3), params, {"student": {}}, ())
    window = [[step, {"total": 0.5}, 0] for step in range(100_000)]
    with Checkpoints(folder / "changing", print) as checkpoints:
        checkpoints.save(state, {"step": 3, "window": window})
        window.clear()
        checkpoints.wait()
        _, meta = checkpoints.restore(jax.eval_shape(lambda: state))
    assert len(meta["window"]) == 100_000


def test_a_signal_saves_and_says_so(folder, config_path):
    workdir = folder / "stopped"
    argv = ["--config", config_path, "--workdir", workdir, "--config.steps=4000"]
    argv += ["--config.save.every_steps=0", "--config.eval.every_steps=0", "--config.crop=96"]
    process = start("train", *argv)
    deadline = time.time() + 300
    while (
        not (workdir / "metrics.jsonl").exists()
        or '"train"' not in (workdir / "metrics.jsonl").read_text()
    ):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    (step,) = list_steps(workdir)
    assert 0 < step < 4000 and f"stopped at step {step}" in err and "Traceback" not in err


def test_a_stop_at_an_evaluation_makes_up_for_it(straight, config_path, folder, monkeypatch):
    signals = iter([0, 0, 0, signal.SIGTERM])  # after each update
    monkeypatch.setattr(loop, "agree_to_stop", lambda stop, recording: next(signals))
    with pytest.raises(Stopped, match="SIGTERM"):
        train(load_config(config_path), folder / "made_up")
    assert best_step(folder / "made_up") is None
    monkeypatch.undo()
    state, _ = train(load_config(config_path), folder / "made_up")
    assert_states_equal(straight[1], state)
    assert records(straight[0], "eval") == records(folder / "made_up", "eval")


def test_an_unreadable_state_falls_back(straight, config_path, folder, capfd):
    workdir = folder / "damaged"
    shutil.copytree(straight[0], workdir)
    for path in (workdir / "checkpoints" / "8" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    state, _ = train(load_config(config_path), workdir)
    err = capfd.readouterr().err
    assert "checkpoint 8 cannot be read" in err and "continuing from step 6" in err
    assert (workdir / "checkpoints" / "8.unreadable").is_dir()
    assert_states_equal(straight[1], state)


def test_a_flipped_value_is_noticed(straight, config_path, folder, capfd):
    workdir = folder / "flipped"
    shutil.copytree(straight[0], workdir)
    meta = workdir / "checkpoints" / "8" / "meta" / "metadata"
    content = json.loads(meta.read_text())
    content["checksums"]["params/student"] ^= 1
    meta.write_text(json.dumps(seal(content)))
    state, _ = train(load_config(config_path), workdir)
    assert "values of params/student are not those that were saved" in capfd.readouterr().err
    assert_states_equal(straight[1], state)


def test_nothing_readable_is_an_error(straight, config_path, folder):
    workdir = folder / "lost"
    shutil.copytree(straight[0], workdir)
    for path in (workdir / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the steps"):
        train(load_config(config_path), workdir)


def test_changed_keys(straight, config_path, folder, capfd):
    workdir = folder / "changed"
    shutil.copytree(straight[0], workdir)
    with pytest.raises(UserError, match=r"crop: 64 -> 96.*another --workdir"):
        train(load_config(config_path, "crop=96"), workdir)
    with pytest.raises(UserError, match="the run finished at step 8.*--config.steps=16"):
        train(load_config(config_path, "learning_rate=2e-3"), workdir)
    train(load_config(config_path, "log.every_steps=4", "init_from.student=x"), workdir)
    err = capfd.readouterr().err
    assert "config.log.every_steps: 2 -> 4" in err
    assert "config.init_from.student:  -> x (no effect" in err


def stop_after(monkeypatch, updates):
    """Lets SIGTERM come after so many updates of the next run."""
    signals = iter([0] * (updates - 1) + [signal.SIGTERM])
    monkeypatch.setattr(loop, "agree_to_stop", lambda stop, recording: next(signals))


def test_a_finished_run_goes_on_bit_for_bit(straight, config_path, folder, monkeypatch, capfd):
    config, states = load_config(config_path, "steps=12", "learning_rate=5e-4"), []
    for name in ("longer", "longer_in_two"):
        shutil.copytree(straight[0], folder / name)
    states.append(train(config, folder / "longer")[0])
    err = capfd.readouterr().err
    assert "config.steps: 8 -> 12" in err and "done: 12 steps" in err
    assert (
        "from step 8 a new cosine over 4 more steps to 12, at learning rate 0.0005, as given; the "
        "first 2 " in err
    )
    stop_after(monkeypatch, 2)
    with pytest.raises(Stopped):
        train(config, folder / "longer_in_two")
    monkeypatch.undo()
    states.append(train(config, folder / "longer_in_two")[0])
    assert_states_equal(*map(jax.device_get, states))
    for kind in ("train", "eval"):
        assert records(folder / "longer", kind) == records(folder / "longer_in_two", kind)
    rates = [record["learning_rate"] for record in records(folder / "longer", "train")]
    first, second = Segment(0, 8, 1e-3, 2), Segment(8, 12, 5e-4, 2, Segment(0, 8, 1e-3, 2)(7))
    assert rates == [*map(first, (1, 3, 5, 7)), *map(second, (9, 11))]
    kept = [vars(first), vars(second)]
    assert read_meta(folder / "longer_in_two", 12)["segments"] == kept
    assert records(folder / "longer_in_two", "start")[-1]["segments"] == kept


def test_time_and_patience_end_a_run_that_goes_on_bit_for_bit(
    straight, config_path, folder, monkeypatch, capfd
):
    """Of drawn bars nothing is found in so few updates: hmean stays 0."""
    workdir = folder / "limited"

    def ends(step, *overrides):
        state, _ = train(load_config(config_path, *overrides), workdir)
        err = capfd.readouterr().err
        assert int(state.step) == step == list_steps(workdir)[-1] == best_step(workdir)
        assert f"ended at step {step} of 8: " in err
        return err

    monkeypatch.setattr(loop, "agree_on_time", lambda *_: True)
    assert "its 60 minutes are up" in ends(1, "time_limit_minutes=60.0")
    monkeypatch.undo()
    err = ends(1, "time_limit_minutes=1e-9")  # used up, as soon as it begins
    assert "the same command with --config.time_limit_minutes=2e-09 continues from there" in err
    for _ in range(2):
        err = ends(4, "eval.every_steps=2", "eval.patience=2")
        assert "no gain over hmean 0.0000 of step 1 in 2 evaluations (eval.patience=2)" in err
        assert "the same command with --config.eval.patience=0 continues from there" in err
    state, _ = train(load_config(config_path, "eval.every_steps=2"), workdir)
    assert_states_equal(straight[1], state)


def test_a_frozen_part_stays_bit_for_bit(straight, config_path, folder, capfd):
    workdir, options = folder / "frozen", ["steps=3", f"init_from.student={straight[0]}/8"]
    config = load_config(config_path, "freeze=('student.backbone',)", *options)
    state, _ = train(config, workdir)
    assert "for student only; frozen: student.backbone" in capfd.readouterr().err
    before, after = extract_role(straight[1], "student"), extract_role(state, "student")
    after = jax.device_get(after)
    for kind in ("params", "batch_stats"):
        same = jax.tree.map(np.array_equal, before[kind], after[kind])
        assert all(jax.tree.leaves(same["backbone"])), kind
        assert not any(jax.tree.leaves({**same, "backbone": {}}))
    learns = [after["params"]["neck"], after["params"]["head"]]
    assert state.opt_state[1].mu.size == sum(leaf.size for leaf in jax.tree.leaves(learns))
    with pytest.raises(UserError, match=r"freeze: \['student.backbone'\] -> \[\].*another --work"):
        train(load_config(config_path, *options), workdir)
    with pytest.raises(UserError, match="student.neck would stay at random values"):
        train(load_config(config_path, "freeze=('neck',)"), folder / "frozen_fresh")


def test_another_schedule_is_the_same_program(config_path, folder):
    texts = []
    for overrides in ([], ["steps=20", "learning_rate=0.02", "warmup_epochs=0.0"]):
        config = load_config(config_path, *overrides)
        setup, training = start_of_run.set_up(config), Training(config)
        begun = start_of_run.begin(setup, training)
        batch = {"image": np.zeros((4, 64, 64, 3), np.uint8)}
        batch |= {name: np.zeros((4, 64, 64), np.float32) for name in MAPS}
        batch["plan"] = begun.progress.segment.numbers()
        texts.append(setup.train_step().lower(begun.state, batch).as_text())
    assert texts[0] == texts[1]


@pytest.mark.long
def test_another_schedule_compiles_nothing_in_another_process(config_path, folder, tmp_path):
    steps = []
    for overrides in ([], ["steps=4", "learning_rate=0.02", "warmup_epochs=0.0"]):
        workdir = folder / f"programs{len(steps)}"
        argv = ["--config", config_path, "--workdir", workdir, "--config.eval.every_steps=0"]
        argv += [f"--config.{override}" for override in overrides]
        status, _, err = run("train", *argv, env={"JAX_COMPILATION_CACHE_DIR": str(tmp_path)})
        assert status == 0, err
        steps.append({path.name for path in tmp_path.glob("jit_train_step-*-cache")})
    assert steps[0] == steps[1] and len(steps[0]) == 1


def test_a_full_disk_keeps_the_state_before(straight, config_path, folder, monkeypatch):
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # its data would not fit either
    workdir = folder / "full"
    shutil.copytree(straight[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "8")
    argv = ["--config", config_path, "--workdir", workdir]
    # No file may grow beyond 60 kB: the arrays of a state do not fit, the log does.
    largest = (60_000, 60_000)
    process = start(
        "train", *argv, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, largest)
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    assert err.splitlines()[-1] == (
        f"error: {workdir}/checkpoints: saving step 8 failed: File too large; raise the limit on "
        "the size of files (ulimit -f) and run the same command again; steps kept: [6]"
    )
    assert "Traceback" not in err and "Event loop" not in err
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["6"]
    state, _ = train(load_config(config_path), workdir)
    assert_states_equal(straight[1], state)


def test_a_disk_without_room_is_not_written_to(straight, config_path, folder, monkeypatch):
    workdir = folder / "no_room"
    shutil.copytree(straight[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "8")
    before, usage = (workdir / "metrics.jsonl").read_bytes(), shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(UserError, match=r"a state needs 1 MiB and 0 are free; steps kept: \[6\]"):
        train(load_config(config_path), workdir)
    assert list_steps(workdir) == [6]
    assert (workdir / "metrics.jsonl").read_bytes() == before  # said before any update


def test_a_second_run_in_a_workdir_is_refused(straight, config_path, folder):
    workdir = folder / "shared"
    shutil.copytree(straight[0], workdir)
    with hold_folder(workdir):
        status, _, err = run("train", "--config", config_path, "--workdir", workdir)
        assert status == 2 and err == (
            f"error: {workdir}: another process is writing there (pid {os.getpid()} on "
            f"{socket.gethostname()} since {time.strftime('%Y-%m-%d')}"
            + err.partition(time.strftime("%Y-%m-%d"))[2]
        )
    assert records(workdir, "train") == records(straight[0], "train")
    assert not (workdir / ".lock").exists()


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_workdir_that_goes_away_ends_the_run(config_path, tmp_path, monkeypatch, how):
    workdir = tmp_path / "run"

    def leave(stop, recording):
        if workdir.exists():
            shutil.move(workdir, tmp_path / "moved")
            if how == "deleted":
                shutil.rmtree(tmp_path / "moved")
        return 0

    monkeypatch.setattr(loop, "agree_to_stop", leave)
    with pytest.raises(UserError, match="run/.* no longer exists: the workdir was moved or"):
        train(load_config(config_path), workdir)
    assert not workdir.exists()
    if how == "moved":
        monkeypatch.undo()
        train(load_config(config_path), tmp_path / "moved")


def test_nan_names_step_term_and_files(config_path, folder):
    workdir = folder / "nan"
    config = load_config(config_path, "learning_rate=1e30", "warmup_epochs=1.0", "steps=30")
    with pytest.raises(UserError, match=r"step \d+: .* is (nan|inf).*train_\d\.png.*good state"):
        train(config, workdir)
    good = list_steps(workdir)
    if good:
        text = (workdir / "checkpoints" / str(good[-1]) / "meta" / "metadata").read_text()
        assert "NaN" not in text


def test_bad_records_are_named_and_too_many_stop(config_path, folder, tmp_path, capfd):
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / "data" / "train_2.png").write_bytes(b"no image")
    config = load_config(config_path, f"data.root={tmp_path / 'data'}", "data.max_bad_share=0.2")
    train(config, tmp_path / "some")
    assert "train_2.png: not an image" in capfd.readouterr().err
    (skipped,) = records(tmp_path / "some", "skipped")
    assert skipped["path"].endswith("train_2.png")
    config = load_config(config_path, f"data.root={tmp_path / 'data'}")
    with pytest.raises(UserError, match="1 of 10 training records .*max_bad_share=0.05"):
        train(config, tmp_path / "none")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_size=11", "more than the 10 images"),
        ("data.root=/nowhere", "no such folder"),
        ("data.root=", "data.root is empty"),
        ("data.train=gone.txt", "gone.txt is missing"),
        ("init_from.student=gone.pdparams", "no such file"),
        ("batch_size=-1", "should be at least 0"),
        ("loss.main=focal", "dice, bce"),
        ("best.role=teacher", "not one of the roles student"),
        ("mesh.devices=9", "only 1 are visible"),
        ("dtype=float16", "float16 overflows"),
        ("data.ratios=(0.5,0.5)", "give one ratio for all"),
    ],
)
def test_mistakes_have_one_line(config_path, tmp_path, override, message):
    with pytest.raises(UserError, match=message) as caught:
        train(load_config(config_path, override), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_missing_validation_images_are_named(config_path, folder, tmp_path):
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / "data" / "val_1.png").unlink()
    with pytest.raises(UserError, match=r"val.txt line 2: .*val_1.png is missing"):
        train(load_config(config_path, f"data.root={tmp_path / 'data'}"), tmp_path / "run")


def test_fine_tuning_scores_the_weights_it_was_given(straight, config_path, tmp_path, capfd):
    config = load_config(config_path, f"init_from.student={straight[0]}", "steps=2")
    train(config, tmp_path / "tuned")
    err = capfd.readouterr().err
    assert "evaluated student at step 0" in err and "head.thresh" in err
    assert "to the base's" in err and "compiling the update" in err
    assert "memory: an update needs" in err and "step ready in" in err
    assert [record["step"] for record in records(tmp_path / "tuned", "eval")] == [0, 2]


def test_a_ruined_run_names_its_cause(straight, config_path, tmp_path, capfd):
    weights = [f"init_from.student={straight[0]}", "steps=4", "warmup_epochs=0"]
    train(load_config(config_path, *weights, "learning_rate=0.5"), tmp_path / "ruined")
    err = capfd.readouterr().err
    assert "likely cause: the learning rate 0.5 is too high" in err
    assert "nothing was gained" in next(line for line in err.splitlines() if "done: " in line)
    assert records(tmp_path / "ruined", "eval")[-1]["likely_cause"] == "rate_too_high"


def test_no_evaluation_is_announced(config_path, tmp_path, capfd):
    train(load_config(config_path, "eval.every_steps=0", "steps=2"), tmp_path / "run")
    assert "1 evaluation to come" in capfd.readouterr().err  # the one at the end


@pytest.mark.parametrize(
    ("batch", "advice"), [(2, ""), (4, ""), (8, "0.0013"), (16, "0.0016"), (32, ""), (64, "")]
)
def test_known_rates_are_shown(config_path, batch, advice):
    line = describe_rate(load_config(config_path, f"batch_size={batch}"))
    assert line.startswith(f"global batch {batch}, learning rate 0.001; known to fine-tune ")
    assert "0.001 at batch 4, 0.002 at 32" in line
    assert ("suggests" in line) == bool(advice) and advice in line
