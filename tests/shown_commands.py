"""The commands that README, CONTRIBUTING, docs/ and the experiments' pages show."""

import re
import shlex

from tiny import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "experiments/*/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:python -m (?:ppocr_jax|experiments)|ppocr-jax )[^`\n]+)`")
ASSIGNED = re.compile(r"[A-Z_]+=")
SHELL = {"for", "do", "done", "cd", ".", "git"}  # words of the shell, and what needs the network


def blocks(page, language):
    """The fenced blocks of a language on a page, as text."""
    return [text for name, text in FENCE.findall((ROOT / page).read_text()) if name == language]


def lines_of(page):
    """Every command line of a page, continued lines joined."""
    for text in blocks(page, "bash"):
        yield from _logical(text.splitlines())
    for text in blocks(page, "console"):
        yield from typed(text)
    for command in INLINE.findall(FENCE.sub("", (ROOT / page).read_text())):
        if " -" in command.removeprefix("python -m") or command.startswith("ppocr-jax"):
            yield command


def typed(text):
    """What stands behind the `$` of a console, without the output."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).strip()
            yield command


def _logical(lines):
    """Lines as a shell reads them: joined at backslashes and inside quotes."""
    waiting = ""
    for line in lines:
        waiting += line
        if waiting.endswith("\\"):
            waiting = waiting[:-1] + " "
            continue
        try:
            shlex.split(waiting, comments=True)
        except ValueError:  # a quotation goes on
            waiting += " "
            continue
        yield waiting
        waiting = ""
    assert not waiting, f"a quotation or a continued line has no end: {waiting}"


def commands(page):
    """`(words, variables)` of every command of a page, `&&` apart; `…` stands for a workdir."""
    for line in lines_of(page):
        for part in line.split("&&"):
            words = shlex.split(part.replace("…", "--workdir=runs"), comments=True)
            words = [re.sub(r"\$\w+", "1", word) for word in words]
            count = next((i for i, word in enumerate(words) if not ASSIGNED.match(word)), 0)
            if words[count:]:
                yield words[count:], dict(word.split("=", 1) for word in words[:count])


def module_of(words):
    """`(module, its arguments)` of a Python command or of `ppocr-jax`; None for another one."""
    program, *rest = words
    if program == "ppocr-jax" or rest[:2] == ["-m", "ppocr_jax"]:
        name, *argv = rest if program == "ppocr-jax" else rest[2:]
        return f"ppocr_jax.{name.replace('-', '_')}", argv
    if re.fullmatch(r"(.*/)?python3?", program) and rest[:1] == ["-m"]:
        return rest[1], rest[2:]
    return None
