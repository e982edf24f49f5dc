"""Measuring a device in limited time: limits, records, profile."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from tiny import ROOT

from experiments.benchmarks import __main__ as benchmarks
from experiments.benchmarks.device import finetune, plan, runner, trace
from experiments.benchmarks.device.records import Records, describe, read
from experiments.benchmarks.device.runner import Case
from ppocr_jax.errors import UserError

ROW = 'print(\'{"what": "step", "value": 1.5, "unit": "ms"}\', flush=True)\n'
HANGS = (
    "import subprocess, time\n" + ROW + "inner = subprocess.Popen(['sleep', '600'])\n"
    'print(\'{"what": "pid", "value": %d, "unit": ""}\' % inner.pid, flush=True)\n'
    "time.sleep(600)\n"
)
PHASE = 'print(\'{"phase": "timing"}\', flush=True)\n'
WAITS = "import sys\n" + PHASE + "assert sys.stdin.readline()\n" + ROW
FAILS = ROW + "raise SystemExit('the device is gone')\n"


@pytest.fixture
def scripts(monkeypatch):
    """Replaces cases by short programs: the arguments of a case are the program."""

    def start(arguments, folder, **options):
        with open(folder / "cases.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, start_new_session=True, **options,
            )  # fmt: skip

    monkeypatch.setattr(runner, "start", start)


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_case_that_hangs_is_killed_with_its_children(scripts, tmp_path):
    records, began = Records(tmp_path), time.monotonic()
    records.add("start", command="a run")
    cases = [Case("waits", (WAITS,), 0, 60), Case("hangs", (HANGS,), 0, 1.5),
             Case("fails", (FAILS,), 0, 60), Case("long", (ROW,), 600, 600)]  # fmt: skip
    runner.run_cases(cases, records, began + 60)
    assert time.monotonic() - began < 50
    found = read(tmp_path)
    rows = [(r["case"], r["what"]) for r in found if r["kind"] == "row"]
    assert rows == [("waits", "step"), ("hangs", "step"), ("hangs", "pid"), ("fails", "step")]
    ends = {r["case"]: r["how"] for r in found if r["kind"] == "end"}
    assert ends["waits"] == "done" and ends["hangs"] == "stopped at its limit of 2 s"
    assert ends["fails"] == "failed (1): the device is gone"
    assert ends["long"].startswith("not run: ") and ends["long"].endswith("needs at least 600")
    pid = next(int(r["value"]) for r in found if r.get("what") == "pid")
    for _ in range(50):
        if not is_there(pid):
            break
        time.sleep(0.1)
    assert not is_there(pid)
    page = (tmp_path / "summary.md").read_text()
    assert "| hangs | step | 1.5 ms |" in page and "still going on" in page


def test_the_background_process_is_paused_while_a_case_is_timed(scripts, tmp_path):
    counts = tmp_path / "counts"
    program = f"import time\nwhile open({str(counts)!r}, 'a').write('.'): time.sleep(0.01)"
    timed = (
        "import os, sys, time\n" + PHASE + "sys.stdin.readline()\n"
        f"before = os.stat({str(counts)!r}).st_size\ntime.sleep(0.4)\n"
        f"grown = os.stat({str(counts)!r}).st_size - before\n"
        'print(\'{"what": "grown", "value": %d, "unit": ""}\' % grown)\n'
    )
    beside, records = runner.Beside((program,), tmp_path), Records(tmp_path)
    try:
        while not counts.exists():
            time.sleep(0.02)
        runner.run_cases([Case("timed", (timed,), 0, 60)], records, time.monotonic() + 60, beside)
        assert [r["value"] for r in read(tmp_path) if r["kind"] == "row"] == [0]
        after = counts.stat().st_size
        for _ in range(100):  # it continues after the case
            if counts.stat().st_size > after:
                break
            time.sleep(0.05)
        assert counts.stat().st_size > after
    finally:
        beside.end()


def test_the_run_ends_in_time_even_if_a_case_hangs(scripts, tmp_path):
    records, began = Records(tmp_path), time.monotonic()
    cases = [Case("hangs", (HANGS,), 0, 600), Case("next", (ROW,), 1, 600)]
    runner.run_cases(cases, records, began + runner.RESERVE_S + 2)
    assert time.monotonic() - began < runner.RESERVE_S + 2
    assert [r["case"] for r in read(tmp_path) if r["kind"] == "end"] == ["hangs", "next"]


def test_records_of_a_killed_run_can_be_read(tmp_path):
    records = Records(tmp_path)
    records.add("start", command="the first")
    records.add("row", case="a", what="step", value=1.0, unit="ms")
    records.add("start", command="the second")
    records.add("begin", case="b", seconds=9)
    with open(tmp_path / "records.jsonl", "ab") as file:
        file.write(b'{"kind": "row", "case"')
    page = describe(read(tmp_path))
    assert "the second" in page and "| b | the run ended during this case | |" in page
    assert "| a |" not in page and "still going on" in page
    Records(tmp_path).add("done")
    assert [r["kind"] for r in read(tmp_path)] == ["start", "begin", "done"]


def test_cases_end_with_the_run_that_was_killed(tmp_path):
    program = (
        "import pathlib, sys, time\n"
        "from experiments.benchmarks.device import runner\n"
        "case = runner.start(['finetune'], pathlib.Path(sys.argv[1]))\n"
        "print(case.pid, flush=True)\ntime.sleep(600)\n"
    )
    begun = tmp_path / "begun"
    (tmp_path / "sitecustomize.py").write_text(  # a fine-tuning that never ends
        "import sys, time, types\n"
        "slow = types.ModuleType('experiments.benchmarks.device.finetune')\n"
        f"slow.run = lambda *_: (open({str(begun)!r}, 'w').close(), time.sleep(600))\n"
        "sys.modules[slow.__name__] = slow\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=env,
                          stdout=subprocess.PIPE, text=True) as run:  # fmt: skip
        pid = int(run.stdout.readline())
        for _ in range(600):
            if begun.exists():
                break
            time.sleep(0.1)
        assert begun.exists() and is_there(pid)
        run.send_signal(signal.SIGKILL)
    for _ in range(50):
        if not is_there(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the case ran on")


PROGRAM = """
  %loop_add_fusion.2 = f32[4]{0} fusion(%a), metadata={op_name="jit(f)/jvp(Detector)/Detector.features/backbone/stage0_1/add"}
  %cudnn-conv.1 = f32[4]{0} custom-call(%b), metadata={op_name="jit(f)/transpose(jvp(Detector))/head/thresh/conv1/conv"}
  %loop_fusion.3 = f32[4]{0} fusion(%c), metadata={op_name="jit(f)/add"}
"""  # noqa: E501


def test_times_are_counted_by_kernel_and_by_layer():
    kernels = [
        trace.Kernel("loop_add_fusion_2", "", 0, 10_000_000),  # of a command buffer
        trace.Kernel("sm90_xmma_fprop_7", "cudnn-conv.1", 10_000_000, 40_000_000),
        trace.Kernel("loop_fusion_3", "loop_fusion.3", 30_000_000, 50_000_000),  # another stream
        trace.Kernel("MemcpyH2D", "", 80_000_000, 100_000_000),
    ]
    found = {what: value for what, value, _ in trace.tables(kernels, PROGRAM, steps=2)}
    assert found["device busy"] == 70 and found["device idle"] == pytest.approx(30)
    assert found["step, profiled"] == 50 and found["kernels"] == 2
    assert found["time whose origin is known"] == 75
    assert found["kernel sm90_xmma_fprop x 0"] == 15
    assert found["layer backbone/stage0_1 forward"] == 5
    assert found["layer head/thresh backward"] == 15
    assert found["layer loss and update"] == 10 and found["layer origin unknown"] == 10
    with pytest.raises(RuntimeError, match="no kernels"):
        list(trace.tables([], PROGRAM, 1))


def test_a_profile_is_read_back(tmp_path):
    x = jnp.ones((300, 300))
    step = jax.jit(lambda x: jnp.sin(x @ x)).lower(x).compile()
    paths = trace.record(lambda: jax.block_until_ready(step(x)), tmp_path)
    kernels = trace.read_kernels(paths)
    assert kernels and all(kernel.operation for kernel in kernels)
    found = {what: value for what, value, _ in trace.tables(kernels, step.as_text(), 1)}
    assert 0 < found["device busy"] <= 100 and found["step, profiled"] > 0


def test_the_profile_comes_first_and_float32_before_the_rest(tmp_path):
    names = [case.name for case in plan.plan(False, True, tmp_path)]
    assert names[0] == "machine" and names[1] == "profile student 32 x 640x640 bfloat16"
    assert names[4] == "profile DML 4 x 960x960 bfloat16" and names[5].endswith("float32")
    assert names[6] == "against student 32 x 640x640 bfloat16"
    assert not any("against" in case.name for case in plan.plan(True, False, tmp_path))


def test_the_numbers_of_a_fine_tuning_come_from_its_records():
    records = [{"kind": "start", "step": 0, "time": 100.0}]
    for step in (20, 40, 60):
        rate = 400.0 if step == 40 else 600.0
        records.append({"kind": "train", "step": step, "time": 130.0 + step / 20,
                        "images_per_s": rate, "waiting_share": 0.02})  # fmt: skip
    for step, hmean in ((0, 0.4), (30, 0.6), (60, 0.5)):
        records += [{"kind": "eval", "step": step, "role": role, "hmean": hmean, "images": 100,
                     "images_per_s": 50.0} for role in ("student", finetune.ROLE)]  # fmt: skip
    facts = finetune.Facts(records, batch=32)
    assert facts.update_s == 0.08 and facts.evaluation_s == 4.0
    assert facts.compile_s == pytest.approx(33 - 60 * 0.08 - 4)
    assert facts.fit(200) == (10, 2000) and facts.fit(20) == (2, 150)
    found = {row["what"]: row["value"] for row in facts.rows()}
    assert found["held-out hmean, best"] == 0.6 and found["held-out hmean, best at"] == 30
    assert found["held-out hmean, last"] == 0.5 and found["waiting"] == 2


def test_the_fine_tuning_leaves_workers_and_memory_to_the_defaults(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "call", lambda *_: None)
    options, batch, _ = finetune.choose(tmp_path, False, "icdar2015", "student.pdparams")
    assert batch == 32 and "--config.crop=640" in options
    assert not any("workers" in option or "prefetch" in option for option in options)


@pytest.mark.parametrize(
    ("minutes", "train", "said"),
    [
        (3, 5, "--minutes 3 --train 5: --train is a part"),
        (9, 5, f"{finetune.TRAIN}: no such file; --train"),
    ],
)
def test_impossible_minutes_are_refused(tmp_path, minutes, train, said):
    args = SimpleNamespace(
        minutes=minutes, train=train, data=str(tmp_path), weights="", quick=False
    )
    with pytest.raises(UserError, match=said):
        benchmarks.check_minutes(args)


def test_a_missing_device_is_named():
    environment = {**os.environ, "JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "experiments.benchmarks.device.case", "machine"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: JAX finds no cuda device here; ")
