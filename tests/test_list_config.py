"""`ppocr-jax config`: every key has its meaning, and the file that it names does read it."""

import ast
import pathlib

import pytest
from tiny import ROOT, load_config

from ppocr_jax import list_config, meanings
from ppocr_jax.errors import UserError
from ppocr_jax.forms import keys
from ppocr_jax.pages import config_keys

CONFIGS = [
    p for p in sorted((ROOT / "configs").glob("*.py")) if p.stem not in ("parts", "__init__")
]
MOBILE = "configs/ppocrv3_det_mobile.py"
ONLY_NAMED = ("roles.ROLE.backbone.blocks",)  # arguments that no shipped config sets


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_key_has_a_meaning_and_every_meaning_a_key():
    found = {meanings.pattern_of(key) for path in CONFIGS for key in keys(load_config(path))}
    assert found - set(meanings.KEYS) == set()
    assert set(meanings.KEYS) - found == set(ONLY_NAMED)


def names_in(path):
    """What a file's code reads by name: attributes, subscripts, arguments, fields."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # of a subscript; a docstring is never a name alone
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.parametrize("place", sorted({key.read_in for key in meanings.KEYS.values()}))
def test_the_named_file_reads_its_keys(place):
    names = set(names_in(ROOT / "ppocr_jax" / place))
    for name, key in meanings.KEYS.items():
        if key.read_in == place:
            parts = name.replace("init_from.ROLE", "init_from").split(".")
            assert parts[-1] in names, name


def run(capsys, *argv):
    assert list_config.main(list(argv)) == 0
    return capsys.readouterr().out


def test_all_keys_are_listed(capsys):
    out = run(capsys)
    config = load_config(MOBILE)
    for key in keys(config):
        assert f"  {key} = " in out
    assert out.endswith("\n0 values differ from the default, marked with *\n")
    assert out.count("read in ppocr_jax/") == len(list(keys(config)))


def test_what_differs_is_marked(capsys):
    out = run(capsys, "--config", MOBILE, "--config.crop=640", "--config.loss.alpha=2", "--changed")
    assert out.splitlines() == [
        "* crop = 640   (default 960)",
        "      side of the square training crop, pixels, a multiple of 32",
        "      a whole number, at most 8192; read in ppocr_jax/data/pipeline.py",
        "",
        "* loss.alpha = 2.0   (default 5.0)",
        "      weight of the shrink map's loss",
        "      a number, at least 0; read in ppocr_jax/losses/recipes.py",
        "",
        "2 values differ from the default, marked with *",
    ]


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ("data.draw", ["data.draw.train", "data.draw.val", "data.draw.side", "data.draw.seed"]),
        ("batch_size", ["batch_size"]),
        ("config.save.every_steps", ["save.every_steps"]),
        ("--config.remat", ["remat"]),
        ("every_epochs", ["eval.every_epochs"]),
    ],
)
def test_keys_are_found_by_name_section_and_last_part(wanted, listed):
    lines, _ = config_keys.list_keys(load_config(MOBILE), [wanted])
    assert [line.split(" = ")[0].strip() for line in lines[::4]] == listed


def test_mistakes_are_one_line(capsys):
    with pytest.raises(UserError, match="unknown config key patience_; did you mean|unknown"):
        list_config.main(["patience_"])
    with pytest.raises(UserError, match="configs/x.py; for a file, --config configs/x.py"):
        list_config.main(["configs/x.py"])
    with pytest.raises(UserError, match="key lr; did you mean learning_rate"):
        list_config.main(["lr"])
    with pytest.raises(UserError, match="config.batch_size=-1: should be at least"):
        list_config.main(["--config", MOBILE, "--config.batch_size=-1", "batch_size"])
    assert "* batch_size = -1   (default 8)" in capsys.readouterr().out


def test_a_network_of_ones_own_is_listed(tmp_path):
    config = load_config(MOBILE)
    with config.unlocked():
        config.roles.student.neck = {"name": "MINE", "turns": 3}
    lines, _ = config_keys.list_keys(config, ["roles.student.neck.turns"])
    assert lines[0] == "  roles.student.neck.turns = 3" and meanings.OTHER.meaning in lines[1]


def test_values_are_shown_as_they_are_given():
    shown = [config_keys._shown(v) for v in ([], [1.0], [["a", "b", 2.0]], "", "x", True, 0.1)]
    assert shown == ["()", "(1.0,)", "(('a', 'b', 2.0),)", "''", "x", "True", "0.1"]
    assert pathlib.Path(ROOT / "ppocr_jax" / meanings.KEYS["crop"].read_in).is_file()
