"""Pages as a strict reader sees them, and as a browser does where there is one."""

import html.parser
import re
import shutil
import subprocess

import pytest

VOID = ("meta", "img", "br", "line", "circle")
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class Page(html.parser.HTMLParser):
    """What a page holds: its tags with attributes, its text, which tags are not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), tag
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def images(self):
        return [attributes["src"] for tag, attributes in self.tags if tag == "img"]


def check_alone(text):
    """A page that is well formed and asks for nothing outside itself; returned as `Page`."""
    page = Page(text)
    assert page.open == [] and text.startswith("<!DOCTYPE html>")
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "b>&"}
    assert all(source.startswith("data:image/") for source in page.images())
    attributes = [pair for _, found in page.tags for pair in found.items()]
    attributes = [(n, v) for n, v in attributes if n != "href" or not v.startswith("#")]
    outside = [n for n, _ in attributes if n in ("href", "srcset", "action") or n.startswith("on")]
    assert outside == [] and "@import" not in text and "url(" not in text
    assert not any(re.match(r"(https?:)?//", value or "") for _, value in attributes)
    ids = [value for name, value in attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    return page


def browse(path):
    """What a headless browser says on its console when it opens a page, and the page's own text.

    Skips the test where no browser is installed.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command = [browser, *options, "--virtual-time-budget=3000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert done.returncode == 0 and "</html>" in done.stdout, done.stderr[-2000:]
    return said, done.stdout
