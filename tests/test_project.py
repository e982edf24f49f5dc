"""What a public project has beside its code, and that its files agree with one another."""

import re
import tomllib

import yaml
from tiny import ROOT

from ppocr_jax import __version__


def test_the_licence_is_named_alike():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:5] == ["Apache", "License", "Version", "2.0,", "January"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_types_are_announced_where_they_are_shipped():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "ppocr_jax/py.typed").exists() and "Typing :: Typed" in project["classifiers"]


def test_the_citation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == __version__
    assert {"message", "title"} <= citation.keys() and citation["authors"] == project["authors"]


def test_hooks_have_the_version_of_the_checks():
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    [ruff] = [line for line in lines if line.startswith("ruff")]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format"]
    assert all(hook["additional_dependencies"] == [ruff] for hook in hooks)


NEW = {"ppocr_jax/count.py", "ppocr_jax/models/stairs.py", "configs/quickstart_stairs.py",
       "tests/test_count.py"}  # examples  # fmt: skip


def test_files_that_the_documentation_names_are_there():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    named = set(re.findall(r"`((?:ppocr_jax|tests|configs|experiments|docs|\.ci)/[\w./-]*)`", text))
    assert len(named) > 8 and named > NEW
    named -= NEW
    for name in named:
        assert (ROOT / name).exists(), name


def bounds(name):
    """`{package: lowest version}` of a file of requirements, with those of the file it includes."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found |= bounds(line.removeprefix("-r "))
        elif line:
            package, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", line).groups()
            found[package.lower()] = version
    return found


def test_each_lower_bound_is_in_the_oldest_environment():
    command, *pins = (ROOT / "requirements-lowest.txt").read_text().splitlines()
    assert command.startswith("# uv pip compile") and command.endswith(" requirements-dev.txt")
    assert "--resolution lowest-direct" in command
    oldest = dict(line.split("==") for line in pins)
    wanted = bounds("requirements-dev.txt")
    assert len(wanted) > 30 and {name: oldest.get(name) for name in wanted} == wanted


def test_the_table_of_versions_holds_the_lower_bounds():
    rows = re.findall(r"^\| ([\w-]+) \| ([\w.]+) \|", (ROOT / "docs/versions.md").read_text(), re.M)
    assert {package.lower(): version for package, version in rows} == bounds("requirements-dev.txt")


def test_other_bounds_of_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [cuda] = project["project"]["optional-dependencies"]["cuda"]
    assert cuda in (ROOT / "requirements.txt").read_text().splitlines()
    [setuptools] = project["build-system"]["requires"]
    assert setuptools in (ROOT / "requirements-dev.txt").read_text().splitlines()
