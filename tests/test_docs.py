"""The site builds without a network, and what its pages show is what the commands take."""

import argparse
import contextlib
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys

import pytest
from shown_commands import PAGES, SHELL, blocks, commands, module_of, typed
from tiny import ROOT

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.__main__ import COMMANDS, FILES, file_of
from ppocr_jax.forms import keys

MOBILE, CML = "configs/ppocrv3_det_mobile.py", "configs/ppocrv3_det_cml.py"
STAND_INS = {  # of what CONTRIBUTING adds, and of names that stand for any
    "configs/quickstart_stairs.py": "configs/quickstart.py",
    "--config.loss.main=tversky": "--config.loss.main=bce",
    "--config.data.augment.brighten=0.3": "--config.data.augment.paste=True",
    "C": MOBILE,
}
ADDED = {"ppocr_jax.count", "tests/test_count.py"}  # by CONTRIBUTING
KNOWN = {*SHELL, "ruff", "lint-imports", "mypy", "pre-commit", "mkdocs", "venv"}
KEY = re.compile(r"`(?:--config\.)?(\w+(?:\.\w+)+)(?:=[^`]*)?`")
LOADED = re.compile(r'<(?:script|img|link|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"')
CHEAP = [  # shown commands that are run here as they stand
    "ppocr-jax config batch_size eval",
    "ppocr-jax config --config configs/quickstart.py --changed",
    "ppocr-jax download --list",
    "python -m experiments.distillation --plan",
]


class Parsed(Exception):
    """The options were taken: the command itself is not run."""


@contextlib.contextmanager
def stopping(monkeypatch):
    """Commands end with `Parsed` where they have read options and config."""
    real, real_args = cli.parse, argparse.ArgumentParser.parse_args

    def parse(arguments, argv, needs_config=True, saved=None):
        of_many = {"all", "teacher", "student2"} & set(argv)  # the weights are not there to ask
        beside = saved and (lambda args: CML if of_many else MOBILE)
        config = real(arguments, argv, needs_config, beside)[1]
        if config is not None:
            configs.check(config)
        raise Parsed

    def parse_args(self, *args):
        real_args(self, *args)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(cli, "parse", parse)
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        yield


def module_with(module):
    """Where the `main` or `parse` of a shown module is."""
    name = module.removeprefix("ppocr_jax.")
    if name != module:
        assert name in COMMANDS or name in FILES.values(), f"no command {name}"
        return f"ppocr_jax.{file_of(name)}"
    spec = importlib.util.find_spec(module)
    assert spec, f"no module {module}"
    return f"{module}.__main__" if spec.submodule_search_locations else module


def take(monkeypatch, module, argv):
    """Gives options to the command's own parser, which raises where it refuses them."""
    argv = [STAND_INS.get(word, word) for word in argv]
    command = importlib.import_module(module_with(module))
    if {"--help", "--version"} & set(argv):
        return
    if hasattr(command, "parse"):  # it reads its options there
        command.parse(argv)
    elif hasattr(command, "main"):
        with stopping(monkeypatch), pytest.raises(Parsed):
            command.main(argv)


def judge(words, variables, monkeypatch):
    """Raises where a command of a page would not start."""
    module, argv = module_of(words) or (words[0].rpartition("/")[2], words[1:])
    if module in ADDED:
        return
    if module.partition(".")[0] in ("ppocr_jax", "experiments"):
        take(monkeypatch, module, argv)
    elif module == "sbatch":
        script = next(i for i, word in enumerate(argv) if word.endswith(".sbatch"))
        assert (ROOT / argv[script]).exists()
        given = ["--config", variables["CONFIG"], "--workdir", variables["WORKDIR"]]
        take(monkeypatch, "ppocr_jax.train", [*given, *argv[script + 1 :]])
    elif module in ("pytest", "pip"):
        for word in argv:  # files that are given are there
            if re.match(r"tests/|requirements", word) and word not in ADDED:
                assert (ROOT / word).exists(), word
    else:
        assert module in KNOWN, f"what is {module}?"


@pytest.mark.parametrize("page", PAGES)
def test_shown_commands_are_taken(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words, variables in commands(page):
        try:
            judge(words, variables, monkeypatch)
        except Exception as error:
            raise AssertionError(f"{page}: {shlex.join(words)}: {error}") from error


@pytest.mark.parametrize("line", CHEAP)
def test_cheap_commands_run(line, monkeypatch, capsys):
    words = shlex.split(line)
    assert any(words == shown for page in PAGES for shown, _ in commands(page)), "shown nowhere"
    monkeypatch.chdir(ROOT)
    module, argv = module_of(words)
    with pytest.raises(SystemExit) as ended:
        cli.run(importlib.import_module(module_with(module)).main, argv)
    assert not ended.value.code and capsys.readouterr().out.count("\n") > 2


def test_keys_that_pages_name_are_keys():
    _, config = cli.parse(cli.parser(""), ["--config", str(ROOT / CML)])
    known = {key for name in keys(config) for key in (name, name.rpartition(".")[0])}
    sections = {name.partition(".")[0] for name in known if "." in name}
    named = set()
    for page in PAGES:
        if not page.startswith("experiments"):
            for key in KEY.findall((ROOT / page).read_text()):
                if key.partition(".")[0] in sections and not key.endswith((".txt", ".json")):
                    named.add((page, key))
    assert len(named) > 20
    for page, key in named:
        *parts, _ = key.split(".")
        is_code = ROOT.joinpath("ppocr_jax", *parts).with_suffix(".py").exists()
        assert key in known or is_code or key.startswith("roles.student."), f"{page}: {key}"


def test_every_room_is_in_the_table_of_rooms():
    rooms = {path.stem for path in (ROOT / "ppocr_jax").glob("*.py")} - {"__init__"}
    rooms |= {path.parent.name for path in (ROOT / "ppocr_jax").glob("*/__init__.py")}
    table = [line for line in (ROOT / "docs/code.md").read_text().splitlines() if "| `" in line]
    assert rooms <= set(re.findall(r"`(\w+)/?`", "\n".join(table)))


def test_examples_in_python_run(capsys):
    examples = [text for page in PAGES for text in blocks(page, "python")]
    for text in examples:
        compile(text, "example", "exec")
    [example] = [text for text in examples if "find_polygons" in text]
    exec(example, {})
    assert "'hmean': 1.0" in capsys.readouterr().out


def test_the_site_builds_without_a_network(tmp_path):
    if not importlib.util.find_spec("mkdocs_autorefs"):
        pytest.skip("mkdocs is not installed: pip install -r requirements-docs.txt")
    site = tmp_path / "site"
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    nowhere["NO_MKDOCS_2_WARNING"] = "1"  # the theme names its successor at every start
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site],
        cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    pages = [path.relative_to(site).as_posix() for path in site.rglob("*.html")]
    assert {"index.html", "CONTRIBUTING.html", "docs/journey.html"} < set(pages)
    text = (site / "docs" / "python.html").read_text()
    assert 'id="ppocr_jax.api.Detector.load"' in text and "bin_thresh" in text
    for page in pages:  # nothing of a page is fetched from elsewhere
        assert not LOADED.findall((site / page).read_text()), page


def test_the_journey_shows_every_step():
    [console] = blocks("docs/journey.md", "console")
    steps = [line.split()[1] for line in typed(console)]
    assert steps == [
        "prepare-data",
        "check-data",
        "show-data",
        "train",
        "compare",
        "export",
        "predict",
    ]
