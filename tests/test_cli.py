"""Options and configs: overrides, the nearest name, one line for a mistake."""

import os
import subprocess
import sys

import pytest

from ppocr_jax import __version__, cli, config, forms
from ppocr_jax.errors import UserError

MOBILE = "configs/ppocrv3_det_mobile.py"


def parse(*argv, **kwargs):
    arguments = cli.parser("example")
    arguments.add_argument("--weights")
    return cli.parse(arguments, list(argv), **kwargs)


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    from tiny import ROOT

    monkeypatch.chdir(ROOT)


def test_overrides():
    _, c = parse("--config", MOBILE, "--config.batch_size=16", "--config.data.augment.paste=True",
                 "--config.data.augment.rotate=(-5,5)", "--config.learning_rate", "3e-4",
                 "--config.data.root=a=b")  # fmt: skip
    assert (c.batch_size, c.data.augment.paste, c.learning_rate) == (16, True, 3e-4)
    assert c.data.augment.rotate == (-5, 5) and c.data.root == "a=b"
    assert c.is_locked


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--config is missing"),
        (["--config", "nothing.py"], "nothing.py: there is no such file"),
        (["--config", MOBILE, "--config.learnin_rate=1"], "did you mean learning_rate"),
        (["--config", MOBILE, "--config.data=1"], "data; it contains data.augment.crop_tries"),
        (
            ["--config", MOBILE, "--config.zzz=1"],
            "unknown config key zzz; ppocr-jax config lists all",
        ),
        (
            ["--config", MOBILE, "--config.batch_size=2.5"],
            "^config.batch_size=2.5: should be a whole number$",
        ),
        (["--config", MOBILE, "--config.crop=wide"], "crop=wide: should be a whole number"),
        (["--config", MOBILE, "--config.learning_rate="], "rate=: should be a number"),
        (["--config", MOBILE, "--config.remat=perhaps"], "perhaps: should be true or false"),
        (["--config", MOBILE, "--config.freeze=3"], r"config.freeze=3: should be text"),
        (["--config", MOBILE, "--config.data.augment.rotate=5"], "rotate=.5.: should be a list"),
        (["--config", MOBILE, "--config.data.augment.scale=(a,b)"], "scale=.*: should be a"),
        (["--config", MOBILE, "--config.loss.mutual=student"], "mutual=.*: should be a list"),
        (["--config", MOBILE, "--configs.crop=32"], "unknown option"),
        (["--config", MOBILE, "--config.lr=1"], "key lr; did you mean learning_rate"),
        (["--config", MOBILE, "--epoch_num", "3"], "option; did you mean --config.epochs"),
        (["--weight=x", "--config", MOBILE], "^--weight: unknown option; did you mean --weights?"),
        (["--config", MOBILE, "stray"], "stray: unknown argument"),
        (["--weights", "x", "--config.crop=32"], "needs --config"),
    ],
)
def test_mistakes(argv, message):
    with pytest.raises(UserError, match=message):
        parse(*argv)


def test_a_config_that_does_not_run(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def get_config():\n    return nothing\n")
    with pytest.raises(UserError, match="broken.py: NameError"):
        parse("--config", str(path))


def test_a_saved_config_takes_overrides(tmp_path):
    _, c = parse("--config", MOBILE)
    config.save(c, tmp_path / "config.json")
    _, again = parse("--config.crop=64", saved=lambda args: tmp_path / "config.json")
    assert again.crop == 64 and again.roles.student.head.kernels == (3, 2, 2)
    again.crop = c.crop
    assert config.plain(again) == config.plain(c)
    assert forms.with_tuples({"a": [1, [2]]}) == {"a": (1, (2,))}
    assert parse("--weights", "x", needs_config=False)[1] is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crop=100", "crop=100: should be a multiple of 32"),
        ("steps=-1", "steps=-1"),
        ("data.last_batch=pad", "fill or drop"),
        ("data.workers=-2", "at least -1 .-1: automatic"),
        ("loss.total=max", "sum or mean"),
        ("loss.mutual_act=tanh", "none, softmax, sigmoid"),
        ("loss.teacher_where=here", "labels or everywhere"),
        ("frozen_norm=none", "batch or stored"),
        ("eval.shared_shapes=100", "multiple of 32"),
        ("postprocess.score_mode=best", "fast or slow"),
        ("postprocess.box_type=circle", "quad or poly"),
        ("log.every_steps=0", "at least 1"),
        ("eval.every_steps=-1", "at least 0"),
        ("trainable=()", "one or more of student"),
        ("loss.labels=('teacher',)", "teacher is not one of the roles student"),
        ("loss.mutual=(('student','x'),)", "role x is not one of the roles student"),
    ],
)
def test_values_that_no_run_can_use(override, message):
    _, c = parse("--config", MOBILE, f"--config.{override}")
    with pytest.raises(UserError, match=message):
        config.check(c)


def test_run_prints_one_line(capsys):
    def fails(argv):
        raise UserError("wrong\n  twice")

    with pytest.raises(SystemExit) as caught:
        cli.run(fails, [])
    assert caught.value.code == 2 and capsys.readouterr().err == "error: wrong\\n  twice\n"

    def full(argv):
        raise OSError(28, "No space left on device", "runs/x")

    with pytest.raises(SystemExit) as caught:
        cli.run(full, [])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: runs/x: No space left on device; free")

    def interrupted(argv):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        cli.run(interrupted, [])
    assert caught.value.code == 130
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda argv: 7, [])
    assert caught.value.code == 7


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--weights=~/w"], "--weights", "HOME/w"),
        (["--weights", "~"], "--weights", "HOME"),
        (["--config.data.root=~/d"], "data.root", "HOME/d"),
        (["--config.data.train=a.txt,~/b.txt"], "data.train", "a.txt,HOME/b.txt"),
        (["--config.init_from.student=~/s"], "init_from.student", "HOME/s"),
        (["--config.data.root=a~b"], "data.root", "a~b"),
        (["--config.data.root=./~/x"], "data.root", "./~/x"),
    ],
)
def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path, argv, key, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    args, c = parse("--config", MOBILE, *argv)
    found = {"--weights": args.weights, **config.flatten(config.plain(c))}
    assert found[key] == value.replace("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["--weights=gs://bucket/run"], "--weights"),
        (["--weights", "https://host/x.pdparams"], "--weights"),
        (["--config", "s3://bucket/x.py"], "--config"),
        (["--config", MOBILE, "--config.data.root=gs://bucket"], "config.data.root"),
        (["--config", MOBILE, "--config.data.val=a.txt,s3://b/c"], "config.data.val"),
        (["--config", MOBILE, "--config.init_from.all=gs://b/c"], "config.init_from.all"),
    ],
)
def test_addresses_are_refused(argv, name):
    with pytest.raises(UserError, match=f"{name}=.*only local paths work"):
        parse(*argv, needs_config=False)


def test_what_is_not_followed_is_not_refused(tmp_path):
    _, c = parse("--config", MOBILE)
    c.init_from.student = "gs://bucket/run"
    config.save(c, tmp_path / "config.json")
    _, again = parse(saved=lambda args: tmp_path / "config.json")
    assert again.init_from.student == "gs://bucket/run"
    with pytest.raises(UserError, match="only local paths work"):
        parse("--config", str(tmp_path / "config.json"))


def test_names_that_are_no_text_are_refused():
    with pytest.raises(UserError, match=r"--weights=a\\udcff: invalid UTF-8"):
        parse("--weights", "a\udcff", needs_config=False)


def test_mistakes_in_options_are_one_line():
    arguments = cli.parser("example")
    arguments.add_argument("--size", type=int, required=True)
    for argv in ([], ["--size", "x\ny"]):
        with pytest.raises(UserError, match="--size.*; --help lists the options$"):
            cli.parse(arguments, argv, needs_config=False)
        arguments = cli.parser("example")
        arguments.add_argument("--size", type=int, required=True)


COMMAND = "from ppocr_jax import cli; cli.run(lambda argv: print('x' * 100_000) or 3)"


def closed_pipe():
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    ("out", "status", "said"),
    [(closed_pipe, 141, ""), (lambda: os.open("/dev/full", os.O_WRONLY), 2, "error: No space"),
     (lambda: os.open(os.devnull, os.O_WRONLY), 3, "")],
)  # fmt: skip
def test_output_that_nobody_takes(out, status, said):
    process = subprocess.run([sys.executable, "-c", COMMAND], stdout=out(), stderr=subprocess.PIPE)
    assert process.returncode == status
    assert process.stderr.decode().startswith(said) and process.stderr.count(b"\n") == bool(said)


def test_help_shows_config_values_in_the_form_that_every_command_takes(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    said = capsys.readouterr().out
    assert "--config.KEY=VALUE" in said and "--config.KEY VALUE" not in said
    with pytest.raises(UserError, match="unknown config key KEY"):
        parse("--config", MOBILE, "--config.KEY=5")


def test_version():
    assert __version__.count(".") == 2 and sys.version_info >= (3, 11)


@pytest.mark.parametrize("weights", [(), ("b",)])
def test_a_value_that_an_argument_without_a_name_would_take(weights):
    arguments = cli.parser("")
    arguments.add_argument("weights", nargs="+")
    said = "--config.data.root photos: in this command, write config values with `=`"
    with pytest.raises(UserError, match=said):
        cli.parse(arguments, ["--config", MOBILE, "--config.data.root", "photos", "a", *weights])
